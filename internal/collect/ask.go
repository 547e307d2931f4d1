package collect

import (
	"errors"
	"fmt"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// maxReply bounds an answer, whatever the sandbox registered; maxSavingsReply that to a question for two numbers.
const (
	maxReply        = 16 << 20
	maxSavingsReply = 4 << 10
)

// ask is what a question was about.
type ask struct {
	sandbox *sandbox
	savings bool // else for the metrics
}

// ask asks all running sandboxes, those last that stalled the last time.
func (c *Collector) ask(r Request) {
	c.asks, c.queries = c.asks[:0], c.queries[:0]
	filter := ""
	if r.Filter != nil {
		filter = r.Filter.String()
	}
	export, savings := control.ExportRequest(filter), control.SavingsRequest()
	for _, last := range []bool{false, true} {
		for _, s := range c.table.sorted {
			if s.stalled != last || !s.prepare() {
				continue
			}
			timeout := c.options.SandboxTimeout
			if s.stalled {
				timeout = min(timeout, stalledTimeout)
			}
			c.asks = append(c.asks, ask{sandbox: s})
			c.queries = append(c.queries, control.Query{Address: s.address, Request: export, Limit: s.maxReply(), Timeout: timeout})
			if s.needsSavings() {
				c.asks = append(c.asks, ask{sandbox: s, savings: true})
				c.queries = append(c.queries, control.Query{Address: s.address, Request: savings, Limit: maxSavingsReply, Timeout: timeout})
			}
		}
	}
	c.loop.Run(c.queries, r.Deadline, &receiver{c, &r})
}

// receiver takes the answers to one request.
type receiver struct {
	*Collector
	request *Request
}

// Receive implements control.Receiver.
func (r *receiver) Receive(i int, reply control.Reply) (whole bool) {
	a := &r.asks[i]
	err := r.read(a, reply)
	if errors.Is(err, verify.ErrIncomplete) {
		return false
	}
	if !a.savings {
		a.sandbox.failure = err
		a.sandbox.stalled = false
	}
	return true
}

// read reads an answer. Whatever a sandbox found that makes our own code panic, it costs only that sandbox its metrics.
func (r *receiver) read(a *ask, reply control.Reply) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("%w: panic: %v", control.ErrInternal, p)
		}
	}()
	if a.savings {
		saved, err := verify.ReadSavings(reply)
		if err == nil {
			a.sandbox.savings = saved
		}
		return err
	}
	s := a.sandbox
	return r.verifier.Export(reply, s.compiled.schema, s.compiled.wanted(r.request), &s.baseline, time.Now())
}

// Fail implements control.Receiver.
func (r *receiver) Fail(i int, err error) {
	a := &r.asks[i]
	if a.savings {
		return // asked again at the next scrape
	}
	a.sandbox.failure = err
	if errors.Is(err, control.ErrStalled) {
		a.sandbox.stalled = true
	}
}
