package control

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// TestFrozen: a sandbox that accepts no connection stalls.
func TestFrozen(t *testing.T) {
	w := newWorld(t)
	q := newProbe(w.start(simulate.Spec{ID: "a", Frozen: true}).SocketPath())
	q.timeout = 50 * time.Millisecond
	if w.ask(q); !q.failed(failure.Stalled) {
		t.Errorf("got %q, %v", q.reply, q.failure)
	}
}

func TestBacklog(t *testing.T) {
	full := func(w *world) *simulate.Sandbox {
		s := w.start(simulate.Spec{ID: "full", Frozen: true})
		w.fillBacklog(s.SocketPath())
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
		for i, q := range all {
			if !q.honest() {
				t.Errorf("query %d: %q, %v", i, q.reply, q.failure)
			}
		}
	})
	t.Run("full for ever", func(t *testing.T) {
		w := newWorld(t)
		q := newProbe(full(w).SocketPath())
		q.timeout = 50 * time.Millisecond
		if w.ask(q); !q.failed(failure.Stalled) {
			t.Errorf("got %q, %v", q.reply, q.failure)
		}
	})
	t.Run("full until the deadline of the run", func(t *testing.T) {
		w := newWorld(t)
		q := newProbe(full(w).SocketPath())
		w.runUntil(time.Now().Add(50*time.Millisecond), []*probe{q})
		if !q.failed(failure.OutOfTime) {
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
			for i, q := range qs {
				if !q.failed(want) {
					t.Errorf("query %d: %q, %v, want %v", i, q.reply, q.failure, want)
				}
			}
			if got := s.Stats().Connections; got > wantConnections {
				t.Errorf("%d connections, want %d at most", got, wantConnections)
			}
		})
	}
	check("the sandbox's time is over first", soon, ample, failure.Stalled, 2)
	check("the run's deadline comes first", ample, soon, failure.OutOfTime, 2)
	check("the run's deadline is past", ample, -time.Second, failure.OutOfTime, 0)
}

// TestBothTimesAreOver: a sandbox that had all of its own time has stalled, even if the run is over
// too.
func TestBothTimesAreOver(t *testing.T) {
	w := newWorld(t)
	s := w.start(simulate.Spec{ID: "a", Behavior: simulate.Stall})
	l := w.loopByHand()
	q := newProbe(s.SocketPath())
	r := w.addRun(l, q)
	l.begin()
	r.deadline = time.Now().Add(-time.Hour)
	l.sweep(time.Now().Add(q.timeout))
	if !q.failed(failure.Stalled) {
		t.Errorf("got %v, want %v", q.failure, stalled)
	}
}

// loopByHand returns a Loop without a goroutine, for one that calls the methods itself.
func (w *world) loopByHand() *Loop {
	w.Helper()
	l, err := newLoop()
	w.must(err)
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
	l.add(r)
	return r
}

// TestOutOfTime: queries that have not begun when the run's time is over do not begin any more.
func TestOutOfTime(t *testing.T) {
	w := newWorld(t)
	stalls := w.start(simulate.Spec{ID: "stalls", Behavior: simulate.Stall})
	honest := w.start(simulate.Spec{ID: "honest"})
	last := newProbe(honest.SocketPath())
	all := append(repeat(width, stalls), last)
	w.runUntil(time.Now().Add(100*time.Millisecond), all)
	for i, q := range all {
		if !q.failed(failure.OutOfTime) {
			t.Errorf("query %d: %q, %v", i, q.reply, q.failure)
		}
	}
	if last.took != 0 || last.failure != neverSent {
		t.Errorf("the one without a slot took %v: %v", last.took, last.failure)
	}
	if got := honest.Stats().Connections; got != 0 {
		t.Errorf("the one without a slot was queried %d times", got)
	}
}

// TestOutOfTimeBehindAnotherRun: a run whose queries cannot begin ends at its own deadline.
func TestOutOfTimeBehindAnotherRun(t *testing.T) {
	w := newWorld(t)
	l := w.loopByHand()
	stalls := w.start(simulate.Spec{ID: "stalls", Behavior: simulate.Stall})
	w.addRun(l, newProbe(stalls.SocketPath()))
	l.begin()
	q := newProbe(stalls.SocketPath())
	second := w.addRun(l, q)
	free := l.free
	l.free = nil // as if all slots were taken
	l.begin()
	second.deadline = time.Now()
	l.sweep(time.Now())
	if q.failure != neverSent || len(l.runs) != 1 {
		t.Errorf("got %v, and %d runs are left", q.failure, len(l.runs))
	}
	l.free = free
}

func TestMoreQueriesThanSlots(t *testing.T) {
	w := newWorld(t)
	f := w.fleet(width+reserve+100, nil)
	all := probes(f.Sandboxes)
	w.run(all...)
	for i, q := range all {
		if !q.honest() {
			t.Errorf("query %d: %q, %v", i, q.reply, q.failure)
		}
	}
	if got := f.Stats(); got.Peak > width || got.Queries != len(f.Sandboxes) {
		t.Errorf("%d sandboxes got %d queries, %d at a time", len(f.Sandboxes), got.Queries, got.Peak)
	}
}

// TestStalledHoldUpNoOthers: while one slot is left, sandboxes that reply do not wait for those
// that stall.
func TestStalledHoldUpNoOthers(t *testing.T) {
	w := newWorld(t)
	const stalled, honest = width - 1, 20
	f := w.fleet(stalled+honest, func(i int, s *simulate.Spec) {
		if i < stalled {
			s.Behavior = simulate.Stall
		}
	})
	all := probes(f.Sandboxes)
	replied := 0
	for _, q := range all {
		q.onEnd = func(q *probe) {
			if q.honest() {
				replied++
			}
			if replied == honest {
				w.loop.Stop()
			}
		}
	}
	w.run(all...)
	for i, q := range all {
		if i < stalled && !q.failed(failure.OutOfTime) || i >= stalled && !q.honest() {
			t.Errorf("query %d: %q, %v", i, q.reply, q.failure)
		}
	}
}

// TestOrder: queries of a run begin in their order, also when there are more than slots.
func TestOrder(t *testing.T) {
	w := newWorld(t)
	listener, err := net.Listen("unix", w.path("s"))
	w.must(err)
	var requests []string // connections are accepted in the order in which they were made
	var serving sync.WaitGroup
	serving.Go(func() {
		request := make([]byte, 1<<10)
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			n, _ := c.Read(request)
			requests = append(requests, string(request[:n]))
			c.Write([]byte("{}"))
			c.Close()
		}
	})
	var all []*probe
	var want []string
	for i := range 2 * width {
		q := newProbe(w.path("s"))
		want = append(want, strings.Repeat("x", 1+i))
		q.request = []byte(want[i])
		all = append(all, q)
	}
	w.run(all...)
	listener.Close()
	serving.Wait()
	if !slices.Equal(requests, want) {
		t.Errorf("the requests came in another order")
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
		w.runBeside(time.Now().Add(2*ample), all)
	})
	await(arrived)
	small := newProbe(w.start(simulate.Spec{ID: "small"}).SocketPath())
	w.runBeside(time.Now().Add(ample), []*probe{small})
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
	for i, q := range all {
		if !q.honest() {
			t.Errorf("query %d of the big run: %q, %v", i, q.reply, q.failure)
		}
	}
	w.checkIdle()
}

// TestManyRuns has many goroutines share the Loop.
func TestManyRuns(t *testing.T) {
	w := newWorld(t)
	f := w.fleet(10, nil)
	var runs sync.WaitGroup
	for range 20 {
		runs.Go(func() {
			for range 5 {
				all := probes(f.Sandboxes)
				w.runBeside(time.Now().Add(ample), all)
				for i, q := range all {
					if !q.honest() {
						t.Errorf("query %d: %q, %v", i, q.reply, q.failure)
					}
				}
			}
		})
	}
	runs.Wait()
	w.checkIdle()
}

// TestTurns: runs take turns, and each begins its own queries in their order.
func TestTurns(t *testing.T) {
	w := newWorld(t)
	l := w.loopByHand()
	s := w.start(simulate.Spec{ID: "a", Behavior: simulate.Stall})
	names := map[Query]string{}
	add := func(name string, n int) {
		all := repeat(n, s)
		for i, q := range all {
			names[q] = fmt.Sprint(name, i)
		}
		w.addRun(l, all...)
	}
	begun := func() string { // slots are used in the order of their indexes until one is free again
		var order []string
		for i := range l.inFlight() {
			order = append(order, names[l.slots[i].query])
		}
		return strings.Join(order, " ")
	}
	check := func(want string) {
		t.Helper()
		if got := begun(); got != want {
			t.Errorf("begun are %s, want %s", got, want)
		}
	}
	add("a", 5)
	add("b", 2)
	add("c", 1)
	slots := l.free
	l.free = slots[len(slots)-6:] // six slots
	l.slots = l.slots[:6]
	l.begin()
	check("a0 b0 c0 a1 b1 a2")
	l.slots = l.slots[:width]
	l.free = slots[len(slots)-width : len(slots)-6]
	add("d", 2)
	l.begin()
	check("a0 b0 c0 a1 b1 a2 d0 a3 d1 a4")
}

// TestTurnsWhenRunsEnd: that a run ends takes no turn from another.
func TestTurnsWhenRunsEnd(t *testing.T) {
	w := newWorld(t)
	l := w.loopByHand()
	var order []string
	add := func(name string, n int) {
		all := make([]*probe, n)
		for i := range all {
			all[i] = newProbe(w.path("missing")) // each ends as soon as it has begun
			all[i].onEnd = func(*probe) { order = append(order, fmt.Sprint(name, i)) }
		}
		w.addRun(l, all...)
	}
	add("a", 1)
	add("b", 3)
	add("c", 2)
	add("d", 3)
	l.begin()
	if got, want := strings.Join(order, " "), "a0 b0 c0 d0 b1 c1 d1 b2 d2"; got != want {
		t.Errorf("begun are %s, want %s", got, want)
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
	for i, q := range all {
		if !q.failed(failure.OutOfTime) {
			t.Errorf("query %d: %q, %v", i, q.reply, q.failure)
		}
	}
	honest := w.start(simulate.Spec{ID: "honest"})
	q := newProbe(honest.SocketPath())
	w.runUntil(time.Now().Add(time.Hour), []*probe{q})
	if q.failure != neverSent || q.took != 0 || honest.Stats().Connections != 0 {
		t.Errorf("after Stop: %q, %v after %v", q.reply, q.failure, q.took)
	}
}

// TestClose: Close returns when the goroutine has ended.
func TestClose(t *testing.T) {
	l, err := NewLoop()
	if err != nil {
		t.Fatal(err)
	}
	l.Run(nil, time.Now().Add(time.Hour))
	if err := l.Close(); err != nil {
		t.Error(err)
	}
	select {
	case <-l.ended:
	default:
		t.Error("the goroutine has not ended")
	}
}

// TestNoDescriptors: if the process has no file descriptors left, that is a failure of its own.
func TestNoDescriptors(t *testing.T) {
	w := newWorld(t)
	q := newProbe(w.start(simulate.Spec{ID: "a"}).SocketPath())
	w.useUpDescriptors()
	if w.ask(q); !q.failed(failure.Internal) || !q.is(unix.EMFILE) {
		t.Errorf("got %q, %v", q.reply, q.failure)
	}
}

// TestNoDescriptorsForNow: a query waits for the descriptors of those in flight.
func TestNoDescriptorsForNow(t *testing.T) {
	w := newWorld(t)
	l := w.loopByHand()
	s := w.start(simulate.Spec{ID: "a", Behavior: simulate.Stall})
	w.addRun(l, newProbe(s.SocketPath()))
	l.begin()
	q := newProbe(s.SocketPath())
	w.addRun(l, q)
	w.useUpDescriptors()
	l.begin()
	if l.inFlight() != 1 || q.ends != 0 {
		t.Errorf("%d queries are in flight, %v", l.inFlight(), q.failure)
	}
}

// useUpDescriptors leaves the process no descriptors until the test ends.
func (w *world) useUpDescriptors() {
	w.Helper()
	var limit unix.Rlimit
	w.must(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	w.Cleanup(func() { w.must(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit)) })
	w.must(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}))
}
