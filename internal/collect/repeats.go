package collect

import (
	"sync"
	"time"

	"github.com/sandmeter/sandmeter/internal/clock"
)

// The first measurement of a sandbox whose cgroup is shared is repeated at these intervals: the
// first one is doubled until it is longestBackoff, and then follows keptInterval.
const (
	firstBackoff   = 25 * time.Millisecond
	longestBackoff = 6400 * time.Millisecond
	keptInterval   = time.Minute
)

// repeats are the lives whose cgroups are shared: with systemd as cgroup driver, with `runsc create`
// until it exits, and else perhaps for good. One goroutine measures them again, with one timer.
type repeats struct {
	clock clock.Clock
	awake chan struct{}

	mu  *sync.Mutex // the collector's; guards due
	due map[*life]repeatAt
}

type repeatAt struct {
	time  time.Time
	after time.Duration // the interval before it
}

func newRepeats(c clock.Clock, mu *sync.Mutex) *repeats {
	return &repeats{clock: c, awake: make(chan struct{}, 1), mu: mu, due: make(map[*life]repeatAt)}
}

// add adds a life, unless it is there already. The caller holds mu.
func (r *repeats) add(l *life) {
	if _, known := r.due[l]; known {
		return
	}
	r.due[l] = repeatAt{r.clock.Now().Add(firstBackoff), firstBackoff}
	select {
	case r.awake <- struct{}{}:
	default:
	}
}

// run calls measure for each life when it is due, with mu held, until that returns false.
func (r *repeats) run(done <-chan struct{}, measure func(*life) (again bool)) {
	for {
		passed, stop := r.clock.Timer(r.measureDue(measure))
		select {
		case <-done:
			stop()
			return
		case <-r.awake:
		case <-passed:
		}
		stop()
	}
}

// measureDue measures the lives that are due, and returns for how long there is none.
func (r *repeats) measureDue(measure func(*life) bool) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	now, wait := r.clock.Now(), keptInterval
	for l, at := range r.due {
		if !now.Before(at.time) {
			r.mu.Unlock() // for the others, since the kernel may let a reader of cgroups wait
			r.mu.Lock()
			if !measure(l) {
				delete(r.due, l)
				continue
			}
			if at.after *= 2; at.after > longestBackoff {
				at.after = keptInterval
			}
			at.time = now.Add(at.after)
			r.due[l] = at
		}
		wait = min(wait, at.time.Sub(now))
	}
	return wait
}
