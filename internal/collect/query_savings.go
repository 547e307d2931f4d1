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

// savingsQuery requests from a restored sandbox how much time the restore saved. It is the last query on
// the connection. If it fails, it is sent again in the next collection, and the sandbox keeps its metrics.
type savingsQuery struct{ query }

// savingsAfter returns the query for the savings if it is due after another one, or nil. It is due until one
// of the two numbers is not zero. The caller holds mu.
func (l *life) savingsAfter(before *query) control.Query {
	if before.over() || !l.facts.Restored || l.facts.CPUSaved != 0 || l.facts.WallSaved != 0 || l.savings != (verify.Savings{}) {
		return nil
	}
	q := &queriesOf(l).savings
	q.begin(before.used)
	return q
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
	q.replied(took)
	if err == nil && !q.over() {
		q.life.savings = saved
	}
	return true
}

// Fail implements control.Query.
func (q *savingsQuery) Fail(f *failure.Failure, took time.Duration) { q.budget.failed(f, took) }
