package collect

import (
	"maps"

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
	compiled map[string]*compiled // by JSON, because each root has its own pointer for equal registrations
}

// of returns the compiled registration, or nil for none.
func (s *schemas) of(r *state.Registration) *compiled {
	if r == nil {
		return nil
	}
	if s.compiled[string(r.JSON)] == nil {
		s.compiled[string(r.JSON)] = compile(r, s.zeros)
	}
	return s.compiled[string(r.JSON)]
}

// keep drops the registrations that lives do not use any more.
func (s *schemas) keep(lives []*life) {
	used := make(map[*compiled]bool)
	for _, l := range lives {
		used[l.compiled] = true
	}
	maps.DeleteFunc(s.compiled, func(_ string, c *compiled) bool { return !used[c] })
}
