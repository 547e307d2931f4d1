package control

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/clock"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/guard"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

func TestBacklog(t *testing.T) {
	full := func(w *world) *simulate.Sandbox {
		s := w.start(simulate.Spec{ID: "full", Frozen: true})
		w.fillBacklog(s)
		return s
	}
	t.Run("full, and drained later", func(t *testing.T) {
		w := newWorld(t)
		s := full(w)
		// Its query begins after that of the full one, which was not connected then.
		thaws := w.start(simulate.Spec{ID: "thaws", Behavior: func(x *simulate.Exchange) error {
			s.Thaw()
			return simulate.Honest(x)
		}})
		all := []*probe{newProbe(s.SocketPath()), newProbe(thaws.SocketPath())}
		w.run(all...)
		w.allHonest(all)
	})
	t.Run("full for ever", func(t *testing.T) {
		w := newWorld(t)
		q := newProbe(full(w).SocketPath())
		q.timeout = 50 * time.Millisecond
		if w.ask(q); !q.failed(failure.Stalled) {
			t.Errorf("got %q, %v", q.reply, q.failure)
		}
	})
	t.Run("full, and closed", func(t *testing.T) {
		w := newWorld(t)
		s := full(w)
		dies := w.start(simulate.Spec{ID: "dies", Behavior: func(x *simulate.Exchange) error {
			s.Stop()
			return simulate.Honest(x)
		}})
		q, other := newProbe(s.SocketPath()), newProbe(dies.SocketPath())
		w.run(q, other)
		// It may accept the connection right before it ends.
		if !q.failed(failure.Unreachable) && !q.failed(failure.Closed) || !other.honest() {
			t.Errorf("got %v and %v", q.failure, other.failure)
		}
	})
}

func TestDeadlines(t *testing.T) {
	const soon = 30 * time.Millisecond
	check := func(name string, timeout, all time.Duration, want failure.Reason, wantConnections int) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.start(simulate.Spec{ID: "a", Behavior: simulate.Stall})
			qs := repeat(2, s)
			qs[0].timeout, qs[1].timeout = timeout, timeout
			w.runUntil(time.Now().Add(all), qs)
			w.allFailed(qs, want)
			if got := s.Stats().Connections; got > wantConnections {
				t.Errorf("%d connections, want %d at most", got, wantConnections)
			}
		})
	}
	check("the sandbox's time is over first", soon, ample, failure.Stalled, 2)
	check("the run's deadline comes first", ample, soon, failure.OutOfTime, 2)
}

// TestBothTimesAreOver: a sandbox that used up its timeout has stalled, even if the run is over
// too.
func TestBothTimesAreOver(t *testing.T) {
	w := newWorld(t)
	s := w.start(simulate.Spec{ID: "a", Behavior: simulate.Stall})
	l := w.loopByHand(1)
	q := newProbe(s.SocketPath())
	r := w.addRun(l, q)
	l.begin()
	r.deadline = time.Now().Add(-time.Hour)
	l.sweep(time.Now().Add(q.timeout))
	if !q.failed(failure.Stalled) {
		t.Errorf("got %v, want %v", q.failure, stalled)
	}
}

// loopByHand returns a Loop without a goroutine and with fewer slots: the test calls the methods
// itself, at times that it chooses.
func (w *world) loopByHand(slots int) *Loop {
	w.Helper()
	l, err := newLoop(guard.New(clock.Real))
	w.must(err)
	taken := l.free[:len(l.free)-slots]
	l.free = l.free[len(taken):]
	w.Cleanup(func() {
		l.Stop()
		l.sweep(time.Now())
		w.must(unix.Close(l.epoll))
	})
	return l
}

// addRun does what Run and accept do.
func (w *world) addRun(l *Loop, all ...*probe) *run {
	r := &run{queries: queries(all), deadline: time.Now().Add(ample), left: len(all), done: make(chan struct{})}
	l.runs = append(l.runs, r)
	return r
}

// TestOutOfTime: queries that have not begun at the deadline of the run are not begun.
func TestOutOfTime(t *testing.T) {
	w := newWorld(t)
	stalls := w.start(simulate.Spec{ID: "stalls", Behavior: simulate.Stall})
	honest := w.start(simulate.Spec{ID: "honest"})
	last := newProbe(honest.SocketPath())
	all := append(repeat(width, stalls), last)
	w.runUntil(time.Now().Add(100*time.Millisecond), all)
	w.allFailed(all, failure.OutOfTime)
	if last.took != 0 || last.failure != neverSent {
		t.Errorf("the one without a slot took %v: %v", last.took, last.failure)
	}
	if got := honest.Stats().Connections; got != 0 {
		t.Errorf("the one without a slot was queried %d times", got)
	}
}

func TestMoreQueriesThanSlots(t *testing.T) {
	w := newWorld(t)
	f := w.fleet(width+reserve+100, nil)
	all := probes(f.Sandboxes)
	w.run(all...)
	w.allHonest(all)
	for _, s := range f.Sandboxes {
		if got := s.Stats().Queries; got != 1 {
			t.Errorf("%s got %d queries", s.ID(), got)
		}
	}
}

// TestRunsOverlap: a run ends while an earlier one, which has more queries than it may have slots,
// is stalled.
func TestRunsOverlap(t *testing.T) {
	w := newWorld(t)
	behavior, arrived, release := stalling(width)
	f := w.fleet(width+reserve+100, func(_ int, s *simulate.Spec) { s.Behavior = behavior })
	all := probes(f.Sandboxes)
	bigEnded := make(chan struct{})
	var big sync.WaitGroup
	big.Go(func() {
		defer close(bigEnded)
		w.runUntil(time.Now().Add(2*ample), all)
	})
	await(arrived)
	small := newProbe(w.start(simulate.Spec{ID: "small"}).SocketPath())
	w.runUntil(time.Now().Add(ample), []*probe{small})
	if !small.honest() {
		t.Errorf("the small run: %q, %v", small.reply, small.failure)
	}
	select {
	case <-bigEnded:
		t.Error("the big run has ended")
	default:
	}
	close(release)
	big.Wait()
	w.allHonest(all)
}

// TestTurns: runs take turns, and each begins its own queries in their order, also when others end.
func TestTurns(t *testing.T) {
	w := newWorld(t)
	l := w.loopByHand(1) // so that queries end in the order in which they begin
	s := w.start(simulate.Spec{ID: "a"})
	var order []string
	add := func(name string, n int) {
		all := repeat(n, s)
		for i, q := range all {
			q.onEnd = func(*probe) { order = append(order, fmt.Sprint(name, i)) }
		}
		w.addRun(l, all...)
	}
	endUntil := func(ended int) {
		for len(order) < ended {
			l.begin()
			l.wait()
		}
	}
	add("a", 1)
	add("b", 4)
	add("c", 2)
	endUntil(4)
	add("d", 2)
	endUntil(9)
	if got, want := strings.Join(order, " "), "a0 b0 c0 b1 c1 d0 b2 d1 b3"; got != want {
		t.Errorf("begun are %s, want %s", got, want)
	}
}

// TestNothingIsLeft: ended queries, successful or failed, release their slots and buffers.
func TestNothingIsLeft(t *testing.T) {
	w := newWorld(t)
	behaviors := []simulate.Behavior{simulate.Honest, simulate.Stall, simulate.Drip(1, 0), simulate.HangUp(0.5), simulate.Flood("[0", ",0", 0, ""),
		simulate.Descriptors(1)}
	f := w.fleet(60, func(i int, s *simulate.Spec) { s.Behavior = behaviors[i%len(behaviors)] })
	all := append(probes(f.Sandboxes), newProbe(w.path("missing")))
	for i, q := range all {
		q.timeout = 100 * time.Millisecond
		if i%7 == 0 {
			q.onRead = func() { panic("a defect") }
		}
	}
	w.runUntil(time.Now().Add(ample), all, Alarm{time.Now().Add(time.Hour), func() {}})
	// There is no run under way, so the loop's goroutine changes nothing meanwhile.
	l, spare := w.loop, 0
	for _, b := range l.pool.spare {
		spare += cap(b)
	}
	if l.inFlight() != 0 || l.pool.held != spare || len(l.runs) != 0 {
		t.Errorf("%d queries and %d runs are left; %d bytes are held, %d of them spare", l.inFlight(), len(l.runs), l.pool.held, spare)
	}
}

// TestStop: a run under way ends, and so do those to come, without a connection.
func TestStop(t *testing.T) {
	w := newWorld(t)
	stalls := w.start(simulate.Spec{ID: "stalls", Behavior: func(x *simulate.Exchange) error {
		w.loop.Stop()
		return x.Stall()
	}})
	all := repeat(2*width, stalls)
	w.runUntil(time.Now().Add(time.Hour), all)
	w.allFailed(all, failure.OutOfTime)
	honest := w.start(simulate.Spec{ID: "honest"})
	q := newProbe(honest.SocketPath())
	w.runUntil(time.Now().Add(time.Hour), []*probe{q})
	if q.failure != neverSent || q.took != 0 || honest.Stats().Connections != 0 {
		t.Errorf("after Stop: %q, %v after %v", q.reply, q.failure, q.took)
	}
}

// TestNoDescriptors: if the process has no file descriptors left, queries fail with reason
// internal.
func TestNoDescriptors(t *testing.T) {
	w := newWorld(t)
	q := newProbe(w.start(simulate.Spec{ID: "a"}).SocketPath())
	w.useUpDescriptors()
	if w.ask(q); !q.failed(failure.Internal) || !q.is(unix.EMFILE) {
		t.Errorf("got %q, %v", q.reply, q.failure)
	}
}

// TestNoDescriptorsForNow: a query waits for the file descriptors of queries in flight.
func TestNoDescriptorsForNow(t *testing.T) {
	w := newWorld(t)
	l := w.loopByHand(2)
	s := w.start(simulate.Spec{ID: "a", Behavior: simulate.Stall})
	w.addRun(l, newProbe(s.SocketPath()))
	l.begin()
	q := newProbe(s.SocketPath())
	w.addRun(l, q)
	w.useUpDescriptors()
	l.begin()
	if q.ends != 0 {
		t.Errorf("got %v", q.failure)
	}
}

// useUpDescriptors uses up the process's file descriptors until the test ends.
func (w *world) useUpDescriptors() {
	w.Helper()
	var limit unix.Rlimit
	w.must(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	w.Cleanup(func() { w.must(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)) })
	w.must(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}))
}
