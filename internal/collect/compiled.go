package collect

import (
	"github.com/sandmeter/sandmeter/internal/expo"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/state"
)

// compiled is a registration and all that is made of it once for all sandboxes that have it.
type compiled struct {
	schema *schema.Schema // nil: refused
	err    error
	text   *expo.SeriesText

	mask    []bool // by metric: the last request's filter wants it
	maskFor *Request
}

// compile compiles a registration. One that makes our own code panic costs only the sandboxes that have it their metrics.
func compile(r *state.Registration) (c *compiled) {
	defer func() {
		if p := recover(); p != nil {
			c = &compiled{err: panicked(p)}
		}
	}()
	s, err := schema.Compile(r.JSON)
	if err != nil {
		return &compiled{err: err}
	}
	return &compiled{schema: s, text: expo.NewSeriesText(s)}
}

// wanted returns which metrics the request asks for; nil means all.
func (c *compiled) wanted(r *Request) []bool {
	if r.Filter == nil {
		return nil
	}
	if c.maskFor != r {
		c.maskFor = r
		c.mask = make([]bool, len(c.schema.Metrics))
		for i := range c.mask {
			c.mask[i] = r.Filter.MatchString(c.schema.Metrics[i].Name)
		}
	}
	return c.mask
}
