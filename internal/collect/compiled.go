package collect

import (
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/state"
)

// compiled is the result of compiling a registration, shared by all sandboxes that have it.
type compiled struct {
	schema  *schema.Schema   // nil: refused
	failure *failure.Failure // why it was refused
}

// compile compiles a registration. A panic is a failure of the sandboxes that have the
// registration, and of no others.
func compile(r *state.Registration, zeros schema.Zeros) (c *compiled) {
	defer func() {
		if p := recover(); p != nil {
			c = &compiled{failure: failure.Panicked(p)}
		}
	}()
	s, err := schema.Compile(r.JSON)
	if err != nil {
		return &compiled{failure: failure.New(failure.RegistrationRefused, err)}
	}
	s.ShowZeros(zeros)
	return &compiled{schema: s}
}
