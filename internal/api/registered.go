package api

import "github.com/sandmeter/sandmeter/internal/snapshot"

// Registered is the document of a sandbox that was registered or unregistered.
type Registered struct {
	Sandbox
	Sampled bool `json:"sampled"` // a sample was taken in time
}

// RegisteredOf returns the document of a sandbox that was registered or unregistered.
func RegisteredOf(r snapshot.Registered) Registered {
	return Registered{describe(&r.Sandbox), r.Sampled}
}
