// Package failure has the one type that says why a sandbox has no metrics. The reason is attached where the failure arises, by the code
// that knows it, and travels unchanged to the page, the log and all other readers of a snapshot.
package failure

import "fmt"

// A Reason is a kind of failure: a value of the label "reason", so one of a short, fixed list.
type Reason string

// All reasons.
const (
	Stalled             Reason = "stalled"              // no whole reply within the sandbox's time
	OutOfTime           Reason = "out_of_time"          // the collection ended before the sandbox's time did
	Unreachable         Reason = "unreachable"          // no control socket, or nothing listens on it
	PermissionDenied    Reason = "permission_denied"    // the server may not connect to the control socket
	WrongPeer           Reason = "wrong_peer"           // a process that is not the sandbox's listens on the control socket
	Closed              Reason = "closed"               // the sandbox closed the connection in the middle of its reply
	TooLong             Reason = "too_long"             // the reply is longer than an honest one can be
	ReplyBudget         Reason = "reply_budget"         // the unfinished replies of all sandboxes exceed a budget; the largest are dropped
	ReplyRefused       Reason = "reply_refused"       // the reply breaks a rule
	RegistrationRefused Reason = "registration_refused" // the registration breaks a rule
	TextsRefused        Reason = "texts_refused"        // texts of the state files are too long or too many to be labels
	NotInstrumented     Reason = "not_instrumented"     // nothing was registered
	PageBudget          Reason = "page_budget"          // all sandboxes together exceed the page; the largest are left out
	Internal            Reason = "internal"             // the server lacks resources, or has a defect
)

// A Failure says why a sandbox has no metrics in a snapshot. It is immutable and safe for concurrent use.
type Failure struct {
	Reason Reason
	Err    error // the whole story, for the log: printable, whatever the sandbox sent
}

// New returns a failure.
func New(reason Reason, err error) *Failure { return &Failure{reason, err} }

// Newf returns a failure whose story is formatted as by fmt.Errorf.
func Newf(reason Reason, format string, args ...any) *Failure {
	return &Failure{reason, fmt.Errorf(format, args...)}
}

// Panicked returns the failure of a sandbox that made our own code panic with p.
func Panicked(p any) *Failure { return Newf(Internal, "panic: %v", p) }

// Error implements error.
func (f *Failure) Error() string { return f.Err.Error() }

// Unwrap returns the story.
func (f *Failure) Unwrap() error { return f.Err }
