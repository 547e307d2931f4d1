package collect

import (
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
)

const (
	// maxOutside is how many queries outside of collections are under way at once. Sandboxes that
	// stall these take nothing from a collection, because the loop has slots for another run.
	maxOutside = 16
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

// sample samples a sandbox now, beside any collection. It takes at most the limit, and what it
// waits for its turn; done ends the wait. It returns why there is no sample.
func (c *Collector) sample(s *sandbox, limit time.Duration, done <-chan struct{}) *failure.Failure {
	select {
	case c.outside <- struct{}{}:
		defer func() { <-c.outside }()
	case <-done:
		return failure.Newf(failure.OutOfTime, "too many sandboxes are sampled at the same time")
	}
	q := &sampleQuery{exportQuery: exportQuery{query: query{collector: c, sandbox: s}}, limit: limit}
	c.mu.Lock()
	f := s.unable()
	q.begin()
	c.mu.Unlock()
	if f != nil {
		return f
	}
	c.loop.Run([]control.Query{q}, time.Now().Add(limit))
	return q.result
}

// unable returns why the sandbox cannot be sampled now, or nil. The caller holds mu.
func (s *sandbox) unable() *failure.Failure {
	if s.end != nil || !s.running() {
		return failure.Newf(failure.Unreachable, "the sandbox has ended")
	}
	return s.flaw()
}
