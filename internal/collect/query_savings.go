package collect

import (
	"errors"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// maxSavingsReply bounds the reply to a request for two numbers.
const maxSavingsReply = 4 << 10

// savingsQuery asks a restored sandbox what its restoring saved. Without a reply it is asked again in the next collection, and has its
// metrics all the same.
type savingsQuery struct{ query }

// due implements kind: until one of the two numbers is not zero.
func (q *savingsQuery) due() bool {
	s := q.sandbox
	return s.facts.Restored && s.facts.CPUSaved == 0 && s.facts.WallSaved == 0 && s.savings == verify.Savings{}
}

// Request implements control.Query.
func (q *savingsQuery) Request() []byte { return control.SavingsRequest() }

// Limit implements control.Query.
func (q *savingsQuery) Limit() int { return maxSavingsReply }

// Read implements control.Query.
func (q *savingsQuery) Read(reply control.Reply, took time.Duration) (whole bool) {
	saved, err := verify.ReadSavings(reply)
	if errors.Is(err, verify.ErrIncomplete) {
		return false
	}
	q.budget.replied(took, q.whole())
	if err == nil {
		q.sandbox.savings = saved
	}
	return true
}

// Fail implements control.Query.
func (q *savingsQuery) Fail(f *failure.Failure, took time.Duration) { q.budget.failed(f, took) }
