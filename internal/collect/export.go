package collect

import (
	"context"
	"errors"
	"slices"

	"github.com/sandmeter/sandmeter/internal/expo"
)

// Errors of Export.
var (
	ErrUnknownSandbox = errors.New("there is no such sandbox")
	ErrEnded          = errors.New("the sandbox has ended")
)

// Export is Collect for a Collector of one sandbox only: the page has what the sandbox itself says, and the error why it says nothing.
func (c *Collector) Export(ctx context.Context, begin func() Request, render func(*expo.Page)) error {
	var failed error
	err := c.Collect(ctx, begin, func(p *expo.Page) {
		s := c.table.byID[c.options.OnlySandbox]
		switch {
		case s == nil:
			failed = ErrUnknownSandbox
		case !s.running():
			failed = ErrEnded
		case s.failure != nil:
			failed = s.failure
		default:
			p.Families = slices.DeleteFunc(p.Families, func(f expo.Family) bool { return f.Own != nil })
			render(p)
		}
	})
	return errors.Join(err, failed)
}
