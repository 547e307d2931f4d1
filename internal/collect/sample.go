package collect

import (
	"context"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
)

const (
	// maxOutside is how many queries outside of collections are under way at once, half of them for
	// clients. Sandboxes that stall these take nothing from a collection, because the loop has room
	// for another run.
	maxOutside = 16
	// maxWaiting is how many new sandboxes may wait for their first sample.
	maxWaiting = 64
	// arrivalTimeout is how long the first sample of a sandbox may take.
	arrivalTimeout = 500 * time.Millisecond
)

// sampleQuery requests all metrics of a sandbox outside of collections. It does not touch what
// collections find out about the sandbox, but its metrics.
type sampleQuery struct {
	exportQuery
	limit  time.Duration
	result *failure.Failure // nil: the sandbox has a sample
}

// Timeout implements control.Query.
func (q *sampleQuery) Timeout() time.Duration { return q.limit }

// Read implements control.Query.
func (q *sampleQuery) Read(reply control.Reply, _ time.Duration) (whole bool) {
	defer q.lock()()
	q.result, whole = q.accept(reply)
	return whole
}

// Next implements control.Query: nothing follows.
func (q *sampleQuery) Next() control.Query { return nil }

// Fail implements control.Query.
func (q *sampleQuery) Fail(f *failure.Failure, _ time.Duration) { q.result = f }

// sample samples a sandbox now, beside any collection, when one of the slots is free. It returns
// after the limit at the latest, or when ctx is done before the query is sent, with the reason why there
// is no sample.
func (c *Collector) sample(ctx context.Context, l *life, in slots, limit time.Duration) *failure.Failure {
	deadline := c.clock.Now().Add(limit)
	passed, stop := c.clock.Timer(limit)
	defer stop()
	select {
	case in <- struct{}{}:
		defer func() { <-in }()
	case <-ctx.Done():
		return errBusy
	case <-passed:
		return errBusy
	}
	left := deadline.Sub(c.clock.Now())
	q := &sampleQuery{exportQuery: exportQuery{query: query{env: c.env, life: l}}, limit: left}
	c.mu.Lock()
	f := l.unable()
	q.begin()
	c.mu.Unlock()
	if f != nil {
		return f
	}
	c.loop.Run([]control.Query{q}, c.loop.In(left))
	return q.result
}

var errBusy = failure.Newf(failure.OutOfTime, "too many sandboxes are sampled at the same time")

// unable returns why the sandbox cannot be sampled now, or nil. The caller holds mu.
func (l *life) unable() *failure.Failure {
	if !l.now().runs() {
		return failure.Newf(failure.Unreachable, "the sandbox has ended")
	}
	return l.flaw()
}
