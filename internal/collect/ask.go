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

// ask asks all running sandboxes. Those that stalled the last time are asked last, and not waited for.
func (c *Collector) ask(r Request) {
	c.asks, c.queries = c.asks[:0], c.queries[:0]
	filter := ""
	if r.Filter != nil {
		filter = r.Filter.String()
	}
	export, savings := control.ExportRequest(filter), control.SavingsRequest()
	able := c.table.prepare()
	for _, stalled := range []bool{false, true} {
		for _, s := range able {
			if s.stalled == stalled {
				c.add(ask{s, false}, export, s.maxReply(), stalled)
			}
			if s.needsSavings() && s.savingsStalled == stalled {
				c.add(ask{s, true}, savings, maxSavingsReply, stalled)
			}
		}
	}
	c.loop.Run(c.queries, r.Deadline, &receiver{c, &r})
}

// add adds a question to those that will be asked.
func (c *Collector) add(a ask, request []byte, limit int, stalled bool) {
	timeout := c.options.SandboxTimeout
	if stalled {
		timeout = min(timeout, stalledTimeout)
	}
	c.asks = append(c.asks, a)
	c.queries = append(c.queries, control.Query{Address: a.sandbox.address, Request: request, Limit: limit, Timeout: timeout})
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
	if a.savings {
		a.sandbox.savingsStalled = false
	} else {
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
	s, stalled := r.asks[i].sandbox, errors.Is(err, control.ErrStalled)
	if r.asks[i].savings {
		s.savingsStalled = s.savingsStalled || stalled // asked again at the next scrape
		return
	}
	s.failure = err
	s.stalled = s.stalled || stalled
}
