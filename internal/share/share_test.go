package share

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandmeter/sandmeter/internal/clock"
	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// The tests run in synctest bubbles with a fake clock, so their times are exact on any machine.

// world is a Share with collections of a configurable duration.
type world struct {
	*testing.T
	*Share
	takes time.Duration // duration of each collection, unless the plan's deadline is earlier

	mu          sync.Mutex
	collections int
	plans       []collect.Plan
	fail        func() error
}

// run runs a test with a Share in a bubble.
func run(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, takes: time.Second}
		w.Share = New(w.collect, 20, clock.Real)
		test(w)
		w.Close()
		if len(w.pages.byKey) != 0 || w.pages.bytes != 0 {
			t.Errorf("%d pages of %d bytes are left", len(w.pages.byKey), w.pages.bytes)
		}
	})
}

// collect makes a collection. The number of sandboxes in its snapshot is the number of the
// collection; its cuts have no sandboxes.
func (w *world) collect(plan collect.Plan) (*snapshot.Snapshot, error) {
	w.mu.Lock()
	w.collections++
	n := w.collections
	w.plans = append(w.plans, plan)
	w.mu.Unlock()
	began := time.Now()
	end := began.Add(w.takes)
	if plan.Deadline.Before(end) {
		end = plan.Deadline
	}
	for i, at := range plan.Cuts {
		if at.After(end) {
			break
		}
		time.Sleep(time.Until(at))
		plan.OnCut(i, &snapshot.Snapshot{Began: began})
	}
	time.Sleep(time.Until(end))
	if w.fail != nil {
		if err := w.fail(); err != nil {
			return nil, err
		}
	}
	return &snapshot.Snapshot{Began: began, Selected: plan.Sandboxes, Sandboxes: make([]snapshot.Sandbox, n)}, nil
}

// result is the result of a read and its time.
type result struct {
	snap *snapshot.Snapshot
	err  error
	at   time.Time
}

// read reads a snapshot in the background.
func (w *world) read(ctx context.Context, timeout time.Duration) <-chan result {
	return w.readOf(ctx, snapshot.Selector{}, timeout)
}

// readOf is read for selected sandboxes.
func (w *world) readOf(ctx context.Context, of snapshot.Selector, timeout time.Duration) <-chan result {
	done := make(chan result, 1)
	deadline := time.Now().Add(timeout)
	go func() {
		snap, err := w.Snapshot(ctx, of, deadline, 0)
		done <- result{snap, err, time.Now()}
	}()
	synctest.Wait() // the reader now waits for its collection
	return done
}

// expect checks which collection a reader got (0 means a cut) and how long after start.
func (w *world) expect(got <-chan result, collection int, start time.Time, after time.Duration) {
	w.Helper()
	r := <-got
	synctest.Wait() // the next collection has begun
	if r.err != nil {
		w.Fatal(r.err)
	}
	if n := len(r.snap.Sandboxes); n != collection || r.at.Sub(start) != after {
		w.Errorf("got collection %d after %v, want %d after %v", n, r.at.Sub(start), collection, after)
	}
}

// expectError checks which error a reader got, and how long after start.
func (w *world) expectError(got <-chan result, want error, start time.Time, after time.Duration) {
	w.Helper()
	r := <-got
	if !errors.Is(r.err, want) || r.at.Sub(start) != after {
		w.Errorf("got %v after %v, want %v after %v", r.err, r.at.Sub(start), want, after)
	}
}

func (w *world) expectCollections(want int) {
	w.Helper()
	if w.collections != want {
		w.Errorf("%d collections, want %d", w.collections, want)
	}
}

const long = 9 * time.Second

var background = context.Background()

// TestReadersShareTheNextCollection checks that readers never get a collection that was already
// running when they arrived.
func TestReadersShareTheNextCollection(t *testing.T) {
	run(t, func(w *world) {
		start := time.Now()
		first := w.read(background, long)
		var others []<-chan result
		for range 100 {
			others = append(others, w.read(background, long))
		}
		time.Sleep(1500 * time.Millisecond)
		late := w.read(background, long) // the second collection is running
		w.expect(first, 1, start, time.Second)
		for _, r := range others {
			w.expect(r, 2, start, 2*time.Second)
		}
		w.expect(late, 3, start, 3*time.Second)
		w.expectCollections(3)
	})
}

func TestReaderLeaves(t *testing.T) {
	run(t, func(w *world) { // others do not notice
		start := time.Now()
		first := w.read(background, long)
		ctx, cancel := context.WithCancel(background)
		leaves, stays := w.read(ctx, long), w.read(background, long)
		time.Sleep(500 * time.Millisecond)
		cancel()
		w.expectError(leaves, context.Canceled, start, 500*time.Millisecond)
		w.expect(first, 1, start, time.Second)
		w.expect(stays, 2, start, 2*time.Second)
	})
	run(t, func(w *world) { // when its collection has begun it is too late
		start := time.Now()
		ctx, cancel := context.WithCancel(background)
		only := w.read(ctx, long)
		cancel()
		w.expect(only, 1, start, time.Second)
	})
	run(t, func(w *world) { // what nobody waits for is not collected
		start := time.Now()
		first := w.read(background, long)
		ctx, cancel := context.WithCancel(background)
		a, b := w.read(ctx, long), w.read(ctx, long)
		cancel()
		w.expectError(a, context.Canceled, start, 0)
		w.expectError(b, context.Canceled, start, 0)
		w.expect(first, 1, start, time.Second)
		w.expectCollections(1)
		w.expect(w.read(background, long), 2, start, 2*time.Second)
	})
}

// TestDeadlineBeforeTheBegin checks that a reader gets ErrNoTime at its deadline if the collection
// has not begun by then.
func TestDeadlineBeforeTheBegin(t *testing.T) {
	run(t, func(w *world) {
		start := time.Now()
		first := w.read(background, long)
		short, other := w.read(background, 300*time.Millisecond), w.read(background, long)
		w.expectError(short, ErrNoTime, start, 300*time.Millisecond)
		w.expect(first, 1, start, time.Second)
		w.expect(other, 2, start, 2*time.Second)
	})
}

// TestDeadlines checks that a reader with a short deadline gets a cut at that deadline, and that a
// reader with a long deadline waits for the end, at most 5 s. Neither affects the other.
func TestDeadlines(t *testing.T) {
	run(t, func(w *world) {
		w.takes = time.Hour
		start := time.Now()
		first := w.read(background, 100*time.Millisecond) // occupies the Share
		short := w.read(background, 600*time.Millisecond)
		prometheus := w.read(background, 2*time.Second)
		patient := w.read(background, time.Minute)
		w.expect(first, 1, start, 100*time.Millisecond)
		w.expect(short, 0, start, 600*time.Millisecond)
		w.expect(prometheus, 0, start, 2*time.Second)
		w.expect(patient, 2, start, 5100*time.Millisecond)
		w.expectCollections(2)
	})
}

// TestMaxAge checks that a recent snapshot is served again and an older one is not.
func TestMaxAge(t *testing.T) {
	run(t, func(w *world) {
		get := func(maxAge time.Duration, want int) {
			t.Helper()
			snap, err := w.Snapshot(background, snapshot.Selector{}, time.Now().Add(long), maxAge)
			if err != nil || len(snap.Sandboxes) != want {
				t.Fatalf("got %v %v, want collection %d", snap, err, want)
			}
		}
		get(10*time.Second, 1) // no snapshot yet
		get(10*time.Second, 1)
		get(time.Second, 1)
		get(0, 2)
		get(time.Second-1, 3) // the second collection began one second ago
		time.Sleep(4 * time.Second)
		get(5*time.Second, 3)
		time.Sleep(time.Nanosecond)
		get(5*time.Second, 4)
	})
}

// TestCutsAreNotServedAgain checks that the latest snapshot is always a complete one.
func TestCutsAreNotServedAgain(t *testing.T) {
	run(t, func(w *world) {
		w.takes = 3 * time.Second
		first := w.read(background, long)
		short, patient := w.read(background, 4*time.Second), w.read(background, long)
		<-first
		if cut := <-short; len(cut.snap.Sandboxes) != 0 {
			t.Error("the short one got no cut")
		}
		if snap, err := w.Snapshot(background, snapshot.Selector{}, time.Now().Add(long), time.Hour); err != nil || len(snap.Sandboxes) != 1 {
			t.Errorf("got %v %v, want the first collection", snap, err)
		}
		<-patient
	})
}

// TestRateLimit checks that at most 20 collections begin per second, after a burst of 20, however
// fast a client sends requests.
func TestRateLimit(t *testing.T) {
	run(t, func(w *world) {
		w.takes = 0
		start := time.Now()
		for range 60 {
			if r := <-w.read(background, long); r.err != nil {
				t.Fatal(r.err)
			}
		}
		if took := time.Since(start); took < 1900*time.Millisecond || took > 2100*time.Millisecond {
			t.Errorf("60 collections take %v, want 2 s", took)
		}
	})
}

// TestCanceledAtTheRateLimit checks that collections whose readers leave before they begin cost the other
// readers no time.
func TestCanceledAtTheRateLimit(t *testing.T) {
	run(t, func(w *world) {
		w.takes = 0
		start := time.Now()
		for i := range 20 {
			w.expect(w.read(background, long), i+1, start, 0)
		}
		for range 10 {
			ctx, cancel := context.WithCancel(background)
			leaves := w.read(ctx, long)
			cancel()
			w.expectError(leaves, context.Canceled, start, 0)
		}
		w.expect(w.read(background, long), 21, start, 50*time.Millisecond)
	})
}

func TestCollectionFails(t *testing.T) {
	failed := errors.New("the root is gone")
	run(t, func(w *world) {
		w.fail = func() error { return failed }
		start := time.Now()
		first, second, third := w.read(background, long), w.read(background, long), w.read(background, long)
		w.expectError(first, failed, start, time.Second)
		w.expectError(second, failed, start, 2*time.Second)
		w.expectError(third, failed, start, 2*time.Second)
		w.fail = nil
		w.expect(w.read(background, long), 3, start, 3*time.Second)
	})
	run(t, func(w *world) { // a panic in the collect function
		w.fail = func() error { panic("a defect") }
		if r := <-w.read(background, long); r.err == nil {
			t.Error("no error")
		}
		w.fail = nil
		if r := <-w.read(background, long); r.err != nil {
			t.Error(r.err)
		}
	})
}

// TestOverdue checks that readers do not wait forever for a collection that violates its contract
// and does not end.
func TestOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		end := make(chan struct{})
		s := New(func(collect.Plan) (*snapshot.Snapshot, error) {
			<-end
			return nil, errors.New("at last")
		}, 20, clock.Real)
		start := time.Now()
		_, err := s.Snapshot(background, snapshot.Selector{}, start.Add(long), 0)
		if took := time.Since(start); !errors.Is(err, errOverdue) || took != collect.MaxDuration+overdue {
			t.Errorf("got %v after %v", err, took)
		}
		check := func(want bool) {
			t.Helper()
			if s.Overdue() != want {
				t.Errorf("overdue after %v: want %v", time.Since(start), want)
			}
		}
		check(false)
		time.Sleep(time.Nanosecond)
		check(true)
		close(end)
		s.Close()
		check(false)
	})
}

// TestClose checks that Close waits for the running collection and that no other collection begins.
func TestClose(t *testing.T) {
	run(t, func(w *world) {
		start := time.Now()
		first, next := w.read(background, long), w.read(background, 2*time.Second)
		w.Close()
		if took := time.Since(start); took != time.Second {
			t.Errorf("Close took %v, want 1 s", took)
		}
		w.expect(first, 1, start, time.Second)
		w.expectError(next, ErrNoTime, start, 2*time.Second)
		w.expectCollections(1)
	})
}
