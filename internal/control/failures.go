package control

import (
	"errors"
	"io/fs"

	"github.com/sandmeter/sandmeter/internal/failure"
)

// Failures of queries. Their texts never have bytes that the sandbox sent.
var (
	stalled   = failure.Newf(failure.Stalled, "no reply in time")
	outOfTime = failure.Newf(failure.OutOfTime, "the collection ended before the reply was complete")
	neverSent = failure.Newf(failure.OutOfTime, "the collection ended before the request was sent")
	closed    = failure.Newf(failure.Closed, "the connection was closed before the end of the reply")

	// overBudget is for the largest of all unfinished replies, when they exceed their common
	// budget.
	overBudget = failure.Newf(failure.ReplyBudget, "all unfinished replies together exceed %d bytes, and this reply is the largest", heldMax)

	descriptorsSent = failure.Newf(failure.ReplyRefused, "the sandbox sent file descriptors with its reply")
	stillClosing    = failure.Newf(failure.ReplyRefused, "file descriptors sent with earlier replies are still being closed")
)

func tooLong(limit int) *failure.Failure {
	return failure.Newf(failure.TooLong, "the reply is longer than %d bytes", limit)
}

// notConnected is for a control socket to which no connection can be made. A missing permission has
// a separate reason, since the sandbox did not cause it.
func notConnected(a *Address, err error) *failure.Failure {
	if errors.Is(err, fs.ErrPermission) {
		return failure.Newf(failure.PermissionDenied,
			"cannot connect to the control socket %q: %w (run the server as root, or give it CAP_DAC_OVERRIDE)", a.primary.path, err)
	}
	return failure.Newf(failure.Unreachable, "cannot connect to the control socket %q: %w", a.primary.path, err)
}

// internal is for a lack of resources in the server, for example of file descriptors.
func internal(err error) *failure.Failure {
	return failure.Newf(failure.Internal, "cannot send the request: %w", err)
}

var errShortWrite = errors.New("short write to the control socket")
