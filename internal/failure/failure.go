// Package failure has the type that says why a sandbox has no metrics. The code that detects a
// failure attaches the reason, which reaches the page, the log and all other readers of a snapshot
// unchanged.
package failure

import "fmt"

// A Reason is a kind of failure. It is a value of the label "reason", so the list is short and
// fixed.
type Reason string

// All reasons.
const (
	Stalled                Reason = "stalled"                 // no whole reply within the sandbox's time
	OutOfTime              Reason = "out_of_time"             // the collection ended before the sandbox's time did
	Unreachable            Reason = "unreachable"             // no control socket, or nothing listens on it
	RootHung               Reason = "root_hung"               // the file system of the runtime root does not answer
	PermissionDenied       Reason = "permission_denied"       // the server may not connect to the control socket
	WrongPeer              Reason = "wrong_peer"              // another process than the sandbox's listens on the control socket
	Closed                 Reason = "closed"                  // the sandbox closed the connection in the middle of its reply
	TooLong                Reason = "too_long"                // the reply is longer than its registered metrics allow
	ReplyBudget            Reason = "reply_budget"            // the unfinished replies of all sandboxes exceed a budget; the largest are dropped
	ReplyRefused           Reason = "reply_refused"           // the reply breaks a rule
	RegistrationRefused    Reason = "registration_refused"    // the registration breaks a rule
	RegistrationMismatch   Reason = "registration_mismatch"   // the reply does not fit the registration that was borrowed for the sandbox
	RegistrationIncomplete Reason = "registration_incomplete" // runsc does not print all metrics of the kernel that it starts
	TextsRefused           Reason = "texts_refused"           // the texts of the state files are too long or too many for labels
	NotInstrumented        Reason = "not_instrumented"        // the sandbox has no registration, and its build's is not known
	PageBudget             Reason = "page_budget"             // the metrics of all sandboxes exceed the budget of the page; the largest are dropped
	Internal               Reason = "internal"                // the server lacks resources, or has a defect
)

// Unregistered is the reason why a client may not register a sandbox: it was unregistered. No sandbox
// in a snapshot has it.
const Unregistered Reason = "unregistered"

// Reasons are all reasons, in the order above. The slice must not be changed.
var Reasons = []Reason{Stalled, OutOfTime, Unreachable, RootHung, PermissionDenied, WrongPeer, Closed, TooLong, ReplyBudget, ReplyRefused,
	RegistrationRefused, RegistrationMismatch, RegistrationIncomplete, TextsRefused, NotInstrumented, PageBudget, Internal}

// A Failure says why a sandbox has no metrics in a snapshot. It is immutable and safe for
// concurrent use.
type Failure struct {
	Reason Reason
	Err    error // details for the log: printable, whatever the sandbox sent
}

// New returns a failure.
func New(reason Reason, err error) *Failure { return &Failure{reason, err} }

// Newf returns a failure whose Err is formatted by fmt.Errorf.
func Newf(reason Reason, format string, args ...any) *Failure {
	return &Failure{reason, fmt.Errorf(format, args...)}
}

// Panicked returns the failure of a sandbox whose data made the server panic with p.
func Panicked(p any) *Failure { return Newf(Internal, "panic: %v", p) }

// Error implements error.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns f.Err.
func (f *Failure) Unwrap() error { return f.Err }
