package collect

import "time"

// stalledTimeout is how long a sandbox is waited for that used up its whole time when it was last asked.
const stalledTimeout = 50 * time.Millisecond

// patience is how long a sandbox is waited for, and whom it has to let go first. The zero value is all of it.
//
// What a sandbox lost by stalling it wins back by answering, twice the time with each answer: to answer every other question does not buy
// it its whole time for the next one.
type patience struct {
	limit time.Duration // 0: the sandbox's whole time
	later bool          // the last scrape was over before the sandbox's time was
}

// ranks is how many ranks there are.
const ranks = 3

// rank is the sandbox's place in the order of asking: those with the lowest are asked first.
func (p *patience) rank() int {
	switch {
	case p.limit > 0:
		return 2
	case p.later:
		return 1
	}
	return 0
}

// timeout is how much of the whole time of a sandbox this one gets.
func (p *patience) timeout(whole time.Duration) time.Duration {
	if p.limit > 0 {
		return min(p.limit, whole)
	}
	return whole
}

// answered is for a whole answer, honest or not.
func (p *patience) answered(whole time.Duration) {
	p.later = false
	if p.limit *= 2; p.limit >= whole {
		p.limit = 0
	}
}

// stalled is for one that used up its time.
func (p *patience) stalled() { *p = patience{limit: stalledTimeout} }

// cutOff is for one whose time was not over when the scrape's was.
func (p *patience) cutOff() { p.later = p.limit == 0 }
