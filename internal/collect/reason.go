package collect

import (
	"errors"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// reason returns a word for the kind of a sandbox's failure, "" for none.
func reason(failure error) string {
	if failure == nil {
		return ""
	}
	for _, r := range [...]struct {
		err  error
		word string
	}{
		{control.ErrStalled, "stalled"},
		{control.ErrOutOfTime, "out_of_time"},
		{control.ErrUnreachable, "unreachable"},
		{control.ErrClosed, "closed"},
		{control.ErrTooLong, "too_long"},
		{control.ErrDescriptors, "answer_refused"},
		{errNotInstrumented, "not_instrumented"},
		{errTexts, "texts_refused"},
	} {
		if errors.Is(failure, r.err) {
			return r.word
		}
	}
	switch {
	case errors.As(failure, new(*schema.RefusedError)):
		return "registration_refused"
	case errors.As(failure, new(*verify.Breach)):
		return "answer_refused"
	}
	return "internal"
}
