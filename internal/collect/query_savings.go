package collect

import (
	"errors"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// maxSavingsReply limits the length of the reply, which has only two numbers.
const maxSavingsReply = 4 << 10

// savingsQuery requests from a restored sandbox how much time the restore saved. If it fails, it is
// sent again in the next collection, and the sandbox keeps its metrics.
type savingsQuery struct{ query }

// due implements kind. The query is due until one of the two numbers is not zero.
func (q *savingsQuery) due() bool {
	l := q.life
	return l.facts.Restored && l.facts.CPUSaved == 0 && l.facts.WallSaved == 0 && l.savings == verify.Savings{}
}

// Request implements control.Query.
func (q *savingsQuery) Request() []byte { return control.SavingsRequest() }

// Limit implements control.Query.
func (q *savingsQuery) Limit() int { return maxSavingsReply }

// Read implements control.Query.
func (q *savingsQuery) Read(reply control.Reply, took time.Duration) (whole bool) {
	defer q.lock()()
	saved, err := verify.ReadSavings(reply)
	if errors.Is(err, verify.ErrIncomplete) {
		return false
	}
	q.budget.replied(took, q.whole())
	if err == nil && !q.over() {
		q.life.savings = saved
	}
	return true
}

// Fail implements control.Query.
func (q *savingsQuery) Fail(f *failure.Failure, took time.Duration) { q.budget.failed(f, took) }
