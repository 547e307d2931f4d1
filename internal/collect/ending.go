package collect

import (
	"syscall"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
)

// How a life ends: the watcher's goroutine reads the last figures (watchEnd) and puts the life into
// endings. One goroutine at a time takes it from there (finishEnded), waits for the exit status, reads the
// final metrics log, and closes the life (close), which counts, records and logs it. A client that
// unregisters a sandbox closes its life in the same way, and earlier.

// statusWait is how long the exit status of a process may take after its end: a process that reads
// no zombies, or has none left to read, learns the status when the parent reaps the process, which
// takes plain runsc two seconds.
const statusWait = time.Minute

// attendEnds closes the lives of sandboxes as they end, until the collector is closed.
func (c *Collector) attendEnds() {
	for {
		again, stop := c.clock.Timer(statusWait)
		select {
		case <-c.alive.Done():
			stop()
			return
		case <-c.ends.awake:
		case <-again:
		}
		stop()
		c.finishEnded(false, time.Time{})
	}
}

// closingWait is how long a collection waits for the goroutine that closes the lives of sandboxes.
const closingWait = 250 * time.Millisecond

// finishEnded closes the lives of all sandboxes that have ended and whose status is known, or cannot
// be. all closes the others too. A time that is not zero is a deadline. If another goroutine is closing lives
// then, and takes long because the disk with the final metrics logs is slow, the outcomes are in the next
// snapshot.
func (c *Collector) finishEnded(all bool, until time.Time) {
	var passed <-chan time.Time
	limited := !until.IsZero()
	if limited {
		var stop func()
		passed, stop = c.clock.Timer(min(closingWait, until.Sub(c.clock.Now())))
		defer stop()
	}
	select {
	case c.finishing <- struct{}{}:
		defer func() { <-c.finishing }()
	case <-passed:
		return
	}
	var waiting []*life
	for _, l := range c.ends.take() {
		late := limited && !c.clock.Now().Before(until)
		if late {
			c.ends.wake()
		}
		if late || !c.finishOne(l, all) {
			waiting = append(waiting, l)
		}
	}
	c.ends.putBack(waiting)
}

// finishOne closes a life that has ended, and returns false if the status of its process may still
// become known. force closes it anyway.
func (c *Collector) finishOne(l *life, force bool) (done bool) {
	c.mu.Lock()
	if l.final() != nil {
		c.table.linger(l)
	}
	ready := force || l.settled()
	c.mu.Unlock()
	if !ready {
		return false
	}
	c.refresh(l)
	log := c.readFinalLog(l) // without the lock, since a disk may be slow
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finish(l, log)
	return true
}

// settled reports whether the outcome of a life that has ended will not change any more.
func (l *life) settled() bool {
	final := l.final()
	return final == nil || final.outcome != "" || l.process.Settled() || l.clock.Now().Sub(final.at) >= statusWait
}

// finish closes a life that has ended, and releases its process.
func (c *Collector) finish(l *life, log finalLog) {
	now := l.now()
	switch {
	case l.final() == nil: // it has another process by now
		return
	case now == ended, now == leaving:
		l.frozen = nil // values may have come since it was made
		metrics := c.takeFinalLog(l, log)
		c.close(l, l.outcome(), metrics, l.usageOrigin(), snapshot.FromSample)
	case now != unregistered: // which is closed, and whose process is released now
		return
	}
	l.release()
	if l.state == leaving {
		l.move(gone)
		l.forget()
		return
	}
	l.move(closed)
}

// close counts, records and logs the end of a life, or its unregistration. The origins tell where its last
// values are from; network is the origin of the network's figures if there are any. It is called once for
// each life.
func (c *Collector) close(l *life, end snapshot.End, metrics, usage, network snapshot.Origin) {
	if len(l.usage.found.Interfaces) == 0 {
		network = snapshot.NoOrigin
	}
	end.Metrics, end.Usage, end.Network = metrics, usage, network
	last := l.freeze()
	l.end = &end
	if l.origin == stale {
		return
	}
	view := l.view(last)
	if l.totals != nil {
		l.totals.End(&view)
	}
	if c.options.Ended != nil {
		c.options.Ended(view)
	}
	l.logEnd()
}

// killedWorkload is the exit code of a sandbox whose workload was killed: 128 and SIGKILL. If the kernel is
// out of memory for the cgroup, it may kill a process in which the sentry runs the application, and the
// sentry then ends like this.
const killedWorkload = 128 + int(syscall.SIGKILL)

// outcome returns how the sandbox ended.
func (l *life) outcome() snapshot.End {
	final := l.final()
	end := snapshot.End{Time: final.at, Lifetime: l.lifetime(final.at), MemoryPeak: l.peak(), Outcome: final.outcome}
	if end.Outcome != "" {
		return end
	}
	exit, known := l.process.Exit()
	switch {
	case known:
		end.Outcome, end.Code, end.Signal = classify(exit, final.oom)
	case final.oom:
		end.Outcome = snapshot.OOMKilled
	default:
		end.Outcome = snapshot.Unknown
	}
	switch end.Outcome {
	case snapshot.OOMKilled:
		end.OOMScope = final.scope
	case snapshot.Exited:
		if l.facts.Checkpointed {
			end.Outcome = snapshot.Checkpointed
		}
	}
	return end
}

// classify returns the outcome of a process with an exit, and the exit code or the signal that belongs to
// it. oom means that its cgroup has run out of memory.
func classify(exit host.Exit, oom bool) (outcome snapshot.Outcome, code, signal int) {
	switch {
	case oom && (exit.Signal == int(syscall.SIGKILL) || exit.Code == killedWorkload):
		return snapshot.OOMKilled, 0, exit.Signal
	case exit.Signal != 0:
		return snapshot.Killed, 0, exit.Signal
	case exit.Code != 0:
		return snapshot.Failed, exit.Code, 0
	}
	return snapshot.Exited, 0, 0
}

// lifetime returns how long the sandbox's process has run at a time; 0: it is not known.
func (l *life) lifetime(at time.Time) time.Duration {
	if began := l.process.Began(); !began.IsZero() {
		return max(0, at.Sub(began))
	}
	return 0
}

// usageOrigin returns where the last figures of the host are from. Only cgroups can be read after the
// end; the network's are from the last reading, and so are all figures of a cgroup that went first.
func (l *life) usageOrigin() snapshot.Origin {
	final, found := &l.final().usage, &l.usage.found
	lost := func(q fact.Quantity) bool { return found.Has(q) && !final.Has(q) }
	switch {
	case final.Has(fact.CPU) && !lost(fact.MemoryPeak) && !lost(fact.OOMKills):
		return snapshot.FromHost
	case l.isMeasured():
		return snapshot.FromSample
	}
	return snapshot.NoOrigin
}

// peak returns the highest memory use; 0: it is not known.
func (l *life) peak() int64 {
	peak, _ := l.usage.found.Get(fact.MemoryPeak)
	if final := l.final(); final != nil {
		last, _ := final.usage.Get(fact.MemoryPeak)
		peak = max(peak, last)
	}
	return peak
}

// refresh reads the state file of a life again whose workload has ended with status 0: runsc notes around the
// end that it has saved the sandbox, so the last listing may have been before that. The caller does not hold
// mu.
func (c *Collector) refresh(l *life) {
	c.mu.Lock()
	exit, known := l.process.Exit()
	wanted := known && exit == host.Exit{} && !l.facts.Checkpointed && l.end == nil
	id, home := l.facts.ID, l.home
	c.mu.Unlock()
	if !wanted {
		return
	}
	c.guard.Do(home.path, lookLimit, func() {
		facts, err := home.root.Refresh(state.FileName(id))
		c.mu.Lock()
		defer c.mu.Unlock()
		if err == nil && facts != nil && l.is(facts) && l.end == nil && !c.closed {
			l.facts = facts
		}
	})
}
