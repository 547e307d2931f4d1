package api

import (
	"fmt"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// An Error is the document of a request that failed.
type Error struct {
	Error      string    `json:"error"`
	Candidates []Sandbox `json:"candidates"` // sandboxes that match the request
}

// NotFound returns the error for an unknown ID.
func NotFound(id string) Error {
	return Error{fmt.Sprintf("there is no sandbox %q", id), []Sandbox{}}
}

// Ambiguous returns the error for an ID that exists in several runtime roots.
func Ambiguous(id string, found []*snapshot.Sandbox) Error {
	e := Error{Error: fmt.Sprintf("%d runtime roots have a sandbox %q: choose one with ?runtime_root=", len(found), id)}
	for _, s := range found {
		e.Candidates = append(e.Candidates, describe(s))
	}
	return e
}

// A Refusal is the document of a sandbox that was not registered or unregistered.
type Refusal struct {
	Error  string  `json:"error"`
	Reason *string `json:"reason"` // as in the label reason; null: there is no such sandbox
}

// Refused returns the document of a sandbox that failed.
func Refused(f *failure.Failure) Refusal { return Refusal{f.Error(), Known(string(f.Reason))} }

// Absent returns the document of an ID that a runtime root does not have.
func Absent(id, root string) Refusal {
	return Refusal{Error: fmt.Sprintf("runtime root %s has no sandbox %q", root, id)}
}
