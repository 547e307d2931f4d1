package collect

import (
	"bytes"
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

// schemas are the compiled registrations of lives.
type schemas struct {
	zeros    schema.Zeros
	compiled map[*state.Registration]*compiled
}

// of returns the compiled registration, or nil for none. Each root has its own pointer for equal
// registrations; all of them get the same Schema.
func (s *schemas) of(r *state.Registration) *compiled {
	if r == nil {
		return nil
	}
	c := s.compiled[r]
	if c != nil {
		return c
	}
	for other, known := range s.compiled {
		if bytes.Equal(other.JSON, r.JSON) {
			c = known
		}
	}
	if c == nil {
		c = compile(r, s.zeros)
	}
	s.compiled[r] = c
	return c
}

// keep drops the registrations that are not used any more.
func (s *schemas) keep(used map[*state.Registration]bool) {
	for r := range s.compiled {
		if !used[r] {
			delete(s.compiled, r)
		}
	}
}
