package collect

import (
	"math/bits"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
)

// stalledTimeout is how long a sandbox gets that used up its whole time when it was last queried.
const stalledTimeout = 50 * time.Millisecond

// A timeBudget is how long a sandbox may take for one kind of query, and where it stands in the order of queries. The zero value is that of
// a sandbox that has not been queried.
//
// What a sandbox lost by stalling it wins back by replying, twice the time with each reply: to reply every other time does not buy it its
// whole time for the next query.
type timeBudget struct {
	limit  time.Duration // 0: the whole time
	used   time.Duration // by the last query, or half of what it was before if that is more
	missed bool          // the last collection ended before the query could begin
}

// timeout is how much of the whole time of a sandbox the next query gets.
func (b *timeBudget) timeout(whole time.Duration) time.Duration {
	if b.limit > 0 {
		return min(b.limit, whole)
	}
	return whole
}

// rank is the place in the order of queries: the lowest go first. Queries that the last collection did not reach go before all others; for
// the rest, twice the time used is one rank, so that the order does not change with every small difference.
func (b *timeBudget) rank() int {
	if b.missed {
		return 0
	}
	return 1 + bits.Len64(uint64(b.used/time.Millisecond))
}

// replied is for a whole reply, honest or not.
func (b *timeBudget) replied(took, whole time.Duration) {
	b.spend(took)
	if b.limit *= 2; b.limit >= whole {
		b.limit = 0
	}
}

// failed is for a query without a reply.
func (b *timeBudget) failed(f *failure.Failure, took time.Duration) {
	switch {
	case f.Reason == failure.OutOfTime && took == 0:
		b.missed = true
	case f.Reason == failure.Stalled:
		b.spend(took)
		b.limit = stalledTimeout
	default:
		b.spend(took)
	}
}

func (b *timeBudget) spend(took time.Duration) {
	b.used, b.missed = max(took, b.used/2), false
}
