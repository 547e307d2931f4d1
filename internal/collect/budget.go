package collect

import (
	"math/bits"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
)

// stalledTimeout is the timeout of a query to a sandbox that stalled at its last query.
const stalledTimeout = 50 * time.Millisecond

// A timeBudget decides the timeout of a sandbox's queries of one kind, and their place in the order
// of queries. The zero value is for a sandbox that has not been queried. A sandbox that stalls gets
// a short timeout, which doubles with each reply. So a sandbox that replies only every other time
// never gets back to the full timeout.
type timeBudget struct {
	limit  time.Duration // 0: the full timeout
	used   time.Duration // time taken by the last query, or half the value before if that is more
	missed bool          // the last collection ended before the query began
}

// timeout returns the timeout of the next query. whole is the timeout of a sandbox that has not
// stalled.
func (b *timeBudget) timeout(whole time.Duration) time.Duration {
	if b.limit > 0 {
		return min(b.limit, whole)
	}
	return whole
}

// rank returns the place in the order of queries; low ranks go first. Queries that the last
// collection did not reach have the lowest rank. Otherwise the rank is the logarithm of the time
// used, so that small differences do not change the order.
func (b *timeBudget) rank() int {
	if b.missed {
		return 0
	}
	return 1 + bits.Len64(uint64(b.used/time.Millisecond))
}

// replied records a whole reply, accepted or refused.
func (b *timeBudget) replied(took, whole time.Duration) {
	b.spend(took)
	if b.limit *= 2; b.limit >= whole {
		b.limit = 0
	}
}

// failed records a query without a reply.
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
