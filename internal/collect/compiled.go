package collect

import (
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/state"
)

// compiled is a registration and all that is made of it once for all sandboxes that have it.
type compiled struct {
	schema  *schema.Schema   // nil: refused
	failure *failure.Failure // why it was refused
}

// compile compiles a registration. One that makes our own code panic costs only the sandboxes that have it their metrics.
func compile(r *state.Registration) (c *compiled) {
	defer func() {
		if p := recover(); p != nil {
			c = &compiled{failure: failure.Panicked(p)}
		}
	}()
	s, err := schema.Compile(r.JSON)
	if err != nil {
		return &compiled{failure: failure.New(failure.RegistrationRefused, err)}
	}
	return &compiled{schema: s}
}
