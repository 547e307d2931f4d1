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

// maxShare bounds how much of the page one sandbox takes. All series that runsc registers, with the longest labels that Kubernetes
// allows, fit into it.
const maxShare = 3 << 19

// checkShare returns an error if the sandbox has more series than that, for the length of its labels.
func (s *sandbox) checkShare(wanted []bool) error {
	if share := s.baseline.Lines(s.compiled.schema, wanted) * s.labels.LineSize(); share > maxShare {
		return fmt.Errorf("%w: its metrics would take %d bytes of the page, more than %d", control.ErrTooLong, share, maxShare)
	}
	return nil
}

// ask is what a question was about.
type ask struct {
	sandbox *sandbox
	savings bool // else for the metrics
}

// patience is that with the sandbox for such a question.
func (a *ask) patience() *patience {
	if a.savings {
		return &a.sandbox.savingsPatience
	}
	return &a.sandbox.patience
}

// ask asks all running sandboxes, in the order of the patience that there is with them.
func (c *Collector) ask(r Request) {
	c.asks, c.queries = c.asks[:0], c.queries[:0]
	filter := ""
	if r.Filter != nil {
		filter = r.Filter.String()
	}
	export, savings := control.ExportRequest(filter), control.SavingsRequest()
	able := c.table.prepare()
	for rank := range ranks {
		for _, s := range able {
			if s.patience.rank() == rank {
				c.add(ask{s, false}, export, s.maxReply())
			}
			if s.needsSavings() && s.savingsPatience.rank() == rank {
				c.add(ask{s, true}, savings, maxSavingsReply)
			}
		}
	}
	c.loop.Run(c.queries, r.Deadline, &receiver{c, &r})
}

// add adds a question to those that will be asked.
func (c *Collector) add(a ask, request []byte, limit int) {
	timeout := a.patience().timeout(c.options.SandboxTimeout)
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
	a.patience().answered(r.options.SandboxTimeout)
	if !a.savings {
		a.sandbox.failure = err
	}
	return true
}

// read reads an answer. Whatever a sandbox found that makes our own code panic, it costs only that sandbox its metrics.
func (r *receiver) read(a *ask, reply control.Reply) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicked(p)
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
	wanted := s.compiled.wanted(r.request)
	if err := r.verifier.Export(reply, s.compiled.schema, wanted, &s.baseline, time.Now()); err != nil {
		return err
	}
	return s.checkShare(wanted)
}

// panicked is the failure of a sandbox that made our own code panic.
func panicked(p any) error { return fmt.Errorf("%w: panic: %v", control.ErrInternal, p) }

// Fail implements control.Receiver.
func (r *receiver) Fail(i int, err error) {
	a := &r.asks[i]
	switch {
	case errors.Is(err, control.ErrStalled):
		a.patience().stalled()
	case errors.Is(err, control.ErrOutOfTime) && !errors.Is(err, control.ErrNotAsked):
		a.patience().cutOff()
	}
	if !a.savings { // savings are asked for again at the next scrape
		a.sandbox.failure = err
	}
}
