package collect

import (
	"errors"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// maxReply limits the length of a reply, even if the registration would allow a longer one.
const maxReply = 16 << 20

// exportQuery requests all metrics of a sandbox.
type exportQuery struct{ query }

func (q *exportQuery) due() bool { return true }

// Request implements control.Query.
func (q *exportQuery) Request() []byte { return control.ExportRequest() }

// Limit implements control.Query: the length of the largest possible reply, plus a quarter.
func (q *exportQuery) Limit() int {
	largest := q.sandbox.compiled.schema.MaxReply
	return min(largest+largest/4, maxReply)
}

// Read implements control.Query.
func (q *exportQuery) Read(reply control.Reply, took time.Duration) (whole bool) {
	s := q.sandbox
	next, err := q.collector.verifier.Export(reply, s.compiled.schema, s.baseline, time.Now())
	if errors.Is(err, verify.ErrIncomplete) {
		return false
	}
	q.budget.replied(took, q.whole())
	s.pending, s.took = false, took
	if err != nil {
		s.failure = s.refuse(err)
		return true
	}
	s.failure = s.commit(next)
	return true
}

// Next implements control.Query. What the sandbox reports of its use does not depend on whether its
// metrics are accepted.
func (q *exportQuery) Next() control.Query { return q.sandbox.event.after(q.sandbox.took) }

// Fail implements control.Query.
func (q *exportQuery) Fail(f *failure.Failure, took time.Duration) {
	q.budget.failed(f, took)
	q.sandbox.pending, q.sandbox.failure, q.sandbox.took = false, f, took
}
