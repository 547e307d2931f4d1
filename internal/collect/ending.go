package collect

import (
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/snapshot"
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
		case <-c.closing:
			return
		case <-c.ends.awake:
		case <-again.C:
		}
		c.finishEnded(false)
	}
}

// finishEnded closes the lives of all sandboxes that have ended and whose status is known, or cannot
// be, in the order of their ends. all closes the others too.
func (c *Collector) finishEnded(all bool) {
	c.finishing.Lock()
	defer c.finishing.Unlock()
	var waiting []*sandbox
	for _, s := range c.ends.take() {
		c.mu.Lock()
		ready := all || s.settled()
		c.mu.Unlock()
		if !ready {
			waiting = append(waiting, s)
			continue
		}
		log := c.readFinalLog(s) // without the lock, since a disk may be slow
		c.mu.Lock()
		c.finish(s, log)
		c.mu.Unlock()
	}
	c.ends.putBack(waiting)
}

// A lastBreath has what was read of the host when a sandbox ended.
type lastBreath struct {
	at    time.Time
	usage host.Usage
	oom   bool // the cgroup has run out of memory
}

// watchEnd has the end of the sandbox's process noted, with the last figures of its cgroup, which
// runsc removes within milliseconds. So the function runs wherever the end is observed, and takes
// none of the collector's locks.
func (s *sandbox) watchEnd() {
	ends := &s.inventory.table.collector.ends
	s.process.AtEnd(func() {
		last := &lastBreath{at: time.Now()}
		if account := s.usage.account.Load(); account != nil {
			account.Finish(&last.usage, last.at)
			last.oom = account.OOMKilled()
		}
		s.last.Store(last)
		ends.add(s)
	})
}

// endNow notes the end of a sandbox without a process to watch. The first call counts.
func (s *sandbox) endNow() {
	if s.last.CompareAndSwap(nil, &lastBreath{at: time.Now()}) {
		s.inventory.table.collector.ends.add(s)
	}
}

// settled reports whether the outcome of a sandbox that has ended will not change any more.
func (s *sandbox) settled() bool {
	return s.presence != visible || s.vanished || s.process.Settled() || time.Since(s.last.Load().at) >= statusWait
}

// finish closes the life of a sandbox that has ended, once.
func (c *Collector) finish(s *sandbox, log finalLog) {
	s.frozen = nil // values may have come since it was made
	if s.end == nil {
		from := c.takeFinalLog(s, log)
		s.close(s.outcome(), from, s.usageOrigin(), s.networkOrigin(snapshot.FromSample))
	}
	s.release()
	if s.dropped {
		s.forget()
		return
	}
	c.table.linger(s)
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

// outcome returns how the sandbox ended.
func (s *sandbox) outcome() snapshot.End {
	last := s.last.Load()
	end := snapshot.End{Time: last.at, Lifetime: s.lifetime(last.at), MemoryPeak: s.usage.peak(last)}
	exit, known := s.process.Exit()
	switch {
	case s.vanished:
		end.Outcome = snapshot.Vanished
	case s.presence != visible || !known:
		end.Outcome = snapshot.Unknown
	case exit.Signal == int(syscall.SIGKILL) && last.oom:
		end.Outcome, end.Signal = snapshot.OOMKilled, exit.Signal
	case exit.Signal != 0:
		end.Outcome, end.Signal = snapshot.Killed, exit.Signal
	case exit.Code != 0:
		end.Outcome, end.Code = snapshot.Failed, exit.Code
	case s.facts.Checkpointed:
		end.Outcome = snapshot.Checkpointed
	default:
		end.Outcome = snapshot.Exited
	}
	return end
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
	if _, ok := s.last.Load().usage.Get(host.CPU); ok {
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
func (u *usage) peak(last *lastBreath) int64 {
	known, _ := u.found.Get(host.MemoryPeak)
	final, _ := last.usage.Get(host.MemoryPeak)
	return max(known, final)
}

// linger keeps a sandbox that has ended in snapshots for a while.
func (t *table) linger(s *sandbox) {
	t.ended = append(t.ended, s)
	for len(t.ended) > t.options.LingerMax {
		t.dropOldest()
	}
}

// expire drops the sandboxes that ended long enough before now.
func (t *table) expire(now time.Time) {
	for len(t.ended) > 0 && now.Sub(t.ended[0].last.Load().at) >= t.options.Linger {
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
	if s.end != nil {
		s.forget()
	}
}
