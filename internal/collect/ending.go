package collect

import (
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
)

// endings are the sandboxes whose ends have been observed and are not closed yet: their outcome is
// not known, or nobody had the time. It is safe for concurrent use, and its lock is taken last, so
// ends can be added wherever they are observed.
type endings struct {
	mu    sync.Mutex
	open  []*sandbox // in the order in which their ends were observed
	awake chan struct{}
}

func newEndings() endings { return endings{awake: make(chan struct{}, 1)} }

// add adds a sandbox whose end was observed.
func (e *endings) add(s *sandbox) {
	e.mu.Lock()
	e.open = append(e.open, s)
	e.mu.Unlock()
	e.wake()
}

// wake makes the goroutine that attends to ends look. It does not block.
func (e *endings) wake() {
	select {
	case e.awake <- struct{}{}:
	default:
	}
}

// take removes all sandboxes and returns them.
func (e *endings) take() []*sandbox {
	e.mu.Lock()
	defer e.mu.Unlock()
	open := e.open
	e.open = nil
	return open
}

// putBack adds sandboxes again that cannot be closed yet, before those that have come since.
func (e *endings) putBack(waiting []*sandbox) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open = append(waiting, e.open...)
}

// statusWait is how long the exit status of a process may take after its end: a process that reads
// no zombies, or has none left to read, learns the status when the parent reaps the process, which
// takes plain runsc two seconds.
const statusWait = time.Minute

// attendEnds closes the lives of sandboxes as they end, until the collector is closed.
func (c *Collector) attendEnds() {
	again := time.NewTicker(statusWait)
	defer again.Stop()
	for {
		select {
		case <-c.alive.Done():
			return
		case <-c.ends.awake:
		case <-again.C:
		}
		c.finishEnded(false)
	}
}

// finishEnded closes the lives of all sandboxes that have ended and whose status is known, or cannot
// be. all closes the others too.
func (c *Collector) finishEnded(all bool) {
	c.finishing <- struct{}{}
	defer func() { <-c.finishing }()
	c.finishUntil(all, time.Time{})
}

// closingWait is how long a collection waits for the goroutine that closes the lives of sandboxes.
const closingWait = 250 * time.Millisecond

// finishSome does the same until a time. If another goroutine is about it, and takes long because the
// disk with the final metrics logs is slow, the outcomes are in the next snapshot.
func (c *Collector) finishSome(until time.Time) {
	timer := time.NewTimer(min(closingWait, time.Until(until)))
	defer timer.Stop()
	select {
	case c.finishing <- struct{}{}:
		defer func() { <-c.finishing }()
		c.finishUntil(false, until)
	case <-timer.C:
	}
}

// finishUntil does it; a zero time is no limit. The caller holds finishing.
func (c *Collector) finishUntil(all bool, until time.Time) {
	var waiting []*sandbox
	for _, s := range c.ends.take() {
		late := !until.IsZero() && !time.Now().Before(until)
		if late {
			c.ends.wake()
		}
		if late || !c.finishOne(s, all) {
			waiting = append(waiting, s)
		}
	}
	c.ends.putBack(waiting)
}

// finishOne closes the life of a sandbox that has ended, and returns false if its status may still
// become known. force closes it anyway.
func (c *Collector) finishOne(s *sandbox, force bool) (done bool) {
	c.mu.Lock()
	if !s.lingers && s.final() != nil {
		c.table.linger(s)
	}
	ready := force || s.settled()
	c.mu.Unlock()
	if !ready {
		return false
	}
	log := c.readFinalLog(s) // without the lock, since a disk may be slow
	c.mu.Lock()
	defer c.mu.Unlock()
	c.finish(s, log)
	return true
}

// A finalReading is the last reading of the host about a sandbox that has ended.
type finalReading struct {
	at    time.Time
	usage fact.Reading
	oom   bool // the cgroup has run out of memory
}

// watchEnd has the end of the sandbox's process noted, with the last figures of its cgroup, which
// runsc removes within milliseconds. So the function runs wherever the end is observed, and takes
// none of the collector's locks.
//
// What it notes is of this process: if the sandbox gets another one while the function is under way,
// nobody sees it.
func (s *sandbox) watchEnd() {
	ends, of := &s.inventory.table.collector.ends, s.last
	s.process.AtEnd(func() {
		last := &finalReading{at: time.Now()}
		if account := s.usage.account.Load(); account != nil {
			account.Finish(&last.usage, last.at)
			last.oom = account.OOMKilled()
		}
		if of.CompareAndSwap(nil, last) {
			ends.add(s)
		}
	})
}

// endNow notes the end of a sandbox without a process to watch, unless its end has been noted.
func (s *sandbox) endNow() {
	if s.last.CompareAndSwap(nil, &finalReading{at: time.Now()}) {
		s.inventory.table.collector.ends.add(s)
	}
}

// endedBefore reports whether the sandbox's process has ended by now: it ends before runsc removes its
// state file. Then the function of watchEnd has been called, or is about to be.
func (s *sandbox) endedBefore() bool {
	if s.presence != visible {
		return false
	}
	s.inventory.table.collector.watcher.Sync()
	return s.process.End() != nil
}

// settled reports whether the outcome of a sandbox that has ended will not change any more.
func (s *sandbox) settled() bool {
	return s.presence != visible || s.vanished || s.final() == nil || s.process.Settled() || time.Since(s.final().at) >= statusWait
}

// finish closes the life of a sandbox that has ended, once.
func (c *Collector) finish(s *sandbox, log finalLog) {
	if s.finished || s.final() == nil { // nil: it has another process by now
		return
	}
	s.finished = true
	s.frozen = nil // values may have come since it was made
	if s.end == nil {
		from := c.takeFinalLog(s, log)
		s.close(s.outcome(), from, s.usageOrigin(), s.networkOrigin(snapshot.FromSample))
	}
	s.release()
	if s.dropped {
		s.forget()
	}
}

// close records the end of the sandbox, or its unregistration, and hands its last values on. It is
// called once.
func (s *sandbox) close(o snapshot.End, metrics, usage, network snapshot.Origin) {
	t := s.inventory.table
	o.Metrics, o.Usage, o.Network = metrics, usage, network
	s.end = &o
	if s.stale {
		return
	}
	view := t.collector.lastView(s)
	if s.totals != nil {
		s.totals.End(&view)
	}
	if t.options.Ended != nil {
		t.options.Ended(view)
	}
	s.logEnd()
}

// killedWorkload is the exit code of a sandbox whose workload was killed: 128 and SIGKILL. If the kernel is
// out of memory for the cgroup, it may kill a process in which the sentry runs the application, and the
// sentry then ends like this.
const killedWorkload = 128 + int(syscall.SIGKILL)

// outcome returns how the sandbox ended.
func (s *sandbox) outcome() snapshot.End {
	last := s.final()
	end := snapshot.End{Time: last.at, Lifetime: s.lifetime(last.at), MemoryPeak: s.usage.peak(last)}
	exit, known := s.process.Exit()
	switch {
	case s.vanished:
		end.Outcome = snapshot.Vanished
	case s.presence != visible || !known:
		end.Outcome = snapshot.Unknown
	default:
		end.Outcome, end.Code, end.Signal = classify(exit, last.oom)
		if end.Outcome == snapshot.Exited && s.checkpointed() {
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

// checkpointed reports whether runsc has saved the sandbox that has ended. It notes that around the end,
// so the state file is read again: the last listing may have been before that.
func (s *sandbox) checkpointed() bool {
	if facts, err := s.inventory.root.Refresh(state.FileName(s.facts.ID)); err == nil && facts != nil && s.is(facts) {
		return facts.Checkpointed
	}
	return s.facts.Checkpointed
}

// lifetime returns how long the sandbox's process has run at a time; 0: it is not known.
func (s *sandbox) lifetime(at time.Time) time.Duration {
	if began := s.process.Began(); !began.IsZero() {
		return max(0, at.Sub(began))
	}
	return 0
}

// usageOrigin returns where the last figures of the host are from. Only cgroups can be read after the
// end; the network's are from the last collection.
func (s *sandbox) usageOrigin() snapshot.Origin {
	if _, ok := s.final().usage.Get(fact.CPU); ok {
		return snapshot.FromHost
	}
	if s.usage.found.Time.IsZero() {
		return snapshot.NoOrigin
	}
	return snapshot.FromSample
}

// networkOrigin returns where the last figures of the network are from, given where they are from if
// there are any.
func (s *sandbox) networkOrigin(from snapshot.Origin) snapshot.Origin {
	if len(s.usage.found.Interfaces) == 0 {
		return snapshot.NoOrigin
	}
	return from
}

// peak returns the highest memory use; 0: it is not known.
func (u *usage) peak(last *finalReading) int64 {
	known, _ := u.found.Get(fact.MemoryPeak)
	final, _ := last.usage.Get(fact.MemoryPeak)
	return max(known, final)
}

// linger keeps a sandbox that has ended in snapshots for a while.
func (t *table) linger(s *sandbox) {
	s.lingers = true
	at := len(t.ended)
	for at > 0 && t.ended[at-1].final().at.After(s.final().at) {
		at--
	}
	t.ended = slices.Insert(t.ended, at, s)
	for len(t.ended) > t.options.LingerMax {
		t.dropOldest()
	}
}

// expire drops the sandboxes that ended long enough before now.
func (t *table) expire(now time.Time) {
	for len(t.ended) > 0 && now.Sub(t.ended[0].final().at) >= t.options.Linger {
		t.dropOldest()
	}
}

func (t *table) dropOldest() {
	t.ended[0].drop()
	t.ended = slices.Delete(t.ended, 0, 1)
}

// drop takes a sandbox that has ended off snapshots, and forgets its values once they have been
// recorded. It stays in its inventory as long as its state file, so that it is not taken for a new
// one.
func (s *sandbox) drop() {
	s.dropped = true
	if s.finished {
		s.forget()
	}
}
