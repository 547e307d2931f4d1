package collect

import "time"

// The first measurement of a sandbox whose cgroup is shared is repeated at these intervals: the
// first one is doubled until it is longestBackoff, and then follows keptInterval.
const (
	firstBackoff   = 25 * time.Millisecond
	longestBackoff = 6400 * time.Millisecond
	keptInterval   = time.Minute
)

// repeatUntilAlone measures a sandbox again as long as others are in its cgroup: with systemd as cgroup
// driver, with `runsc create` until it exits, and else perhaps for good. The caller holds mu.
func (l *life) repeatUntilAlone() {
	if l.usage.repeated || l.ending {
		return
	}
	l.usage.repeated = true
	l.background.Go(func() {
		l.again(func() bool {
			l.usage.repeated = l.repeat()
			return l.usage.repeated
		})
	})
}

// again calls f after each interval, with mu held, until that returns false or the collector is closed. The
// kernel may let a reader of cgroups wait, so others wait for one call at most, however many are due.
func (e *env) again(f func() bool) {
	for wait := firstBackoff; ; wait *= 2 {
		if wait > longestBackoff {
			wait = keptInterval
		}
		passed, stop := e.clock.Timer(wait)
		select {
		case <-e.alive.Done():
			stop()
			return
		case <-passed:
		}
		e.repeating.Lock()
		e.mu.Lock()
		again := f()
		e.mu.Unlock()
		e.repeating.Unlock()
		if !again {
			return
		}
	}
}
