package control

import (
	"errors"

	"github.com/sandmeter/sandmeter/internal/failure"
)

// Failures of queries. None has a byte that the sandbox sent.
var (
	stalled   = failure.Newf(failure.Stalled, "no reply in time")
	outOfTime = failure.Newf(failure.OutOfTime, "no time was left to wait for a reply")
	neverSent = failure.Newf(failure.OutOfTime, "no time was left to send the request")
	closed    = failure.Newf(failure.Closed, "the connection was closed before the end of the reply")

	// overBudget is for the largest reply when all unfinished replies together are too long.
	overBudget = failure.Newf(failure.ReplyBudget, "the reply is the largest of unfinished ones that together exceed %d bytes", heldMax)

	descriptorsSent = failure.Newf(failure.AnswerRefused, "the sandbox sent file descriptors with its reply")
	stillClosing    = failure.Newf(failure.AnswerRefused, "file descriptors sent with earlier replies are still being closed")
)

func tooLong(limit int) *failure.Failure {
	return failure.Newf(failure.TooLong, "the reply is too long: more than %d bytes", limit)
}

func unreachable(err error) *failure.Failure {
	return failure.Newf(failure.Unreachable, "cannot connect to the control socket: %w", err)
}

// internal is for a lack of our own, of file descriptors for example.
func internal(err error) *failure.Failure {
	return failure.Newf(failure.Internal, "cannot send the request: %w", err)
}

var errShortWrite = errors.New("the control socket did not take it at once")
