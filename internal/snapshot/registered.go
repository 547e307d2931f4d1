package snapshot

import "errors"

// Registered is what a client learns of a sandbox that it registers or unregisters.
type Registered struct {
	Sandbox Sandbox
	Sampled bool // a sample was taken in time, so the sandbox's counters have a value from now
}

// Errors of registering and unregistering.
var (
	// ErrNoSandbox means that the runtime root has no sandbox with the ID. To register, that there was
	// none until the context ended.
	ErrNoSandbox = errors.New("no such sandbox")

	// ErrNoRoot means that the runtime root is not served.
	ErrNoRoot = errors.New("the runtime root is not served")
)
