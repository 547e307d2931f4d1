package share

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/sandmeter/sandmeter/internal/clock"
	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// overdue is how long after its deadline a collection may end before its readers get errOverdue,
// which reports a defect in the server.
const overdue = 5 * time.Second

// Errors of Snapshot, in addition to those of the collection.
var (
	ErrNoTime  = errors.New("no time left for a collection")
	errOverdue = errors.New("the collection has not ended, long after its deadline")
)

// A Collect makes a collection, like collect.Collector.Collect. It returns by the plan's deadline,
// and its snapshot never changes afterwards. Only one goroutine at a time calls it.
type Collect func(collect.Plan) (*snapshot.Snapshot, error)

// A Share shares snapshots and pages. It is safe for concurrent use. Call Close when it is no
// longer needed.
type Share struct {
	collect Collect
	clock   clock.Clock
	limit   *rate.Limiter
	pages   pages

	ended   context.Context // done when Close is called
	end     context.CancelFunc
	running sync.WaitGroup // the goroutines that collect and those that render
	turn    chan struct{}  // holds a token while a collection runs or waits for the rate limit

	mu   sync.Mutex
	next *collection // the collection that readers can join; nil if none is requested
	// runsUntil is when the collection that runs ends at the latest; zero: none runs.
	runsUntil time.Time
	recent    recent
}

// New returns a Share of the collections that collect makes. At most perSecond collections begin
// per second, after a burst of perSecond, so a client that sends requests in a loop cannot keep
// every sandbox awake.
func New(collect Collect, perSecond int, clock clock.Clock) *Share {
	s := &Share{
		collect: collect,
		clock:   clock,
		limit:   rate.NewLimiter(rate.Limit(perSecond), perSecond),
		turn:    make(chan struct{}, 1),
	}
	s.pages.init(clock)
	s.ended, s.end = context.WithCancel(context.Background())
	return s
}

// Close waits for running collections and renderings. Collections that have not begun are dropped.
func (s *Share) Close() {
	s.end()
	s.running.Wait()
	s.pages.close()
}

// collection is a collection together with the readers that wait for it.
type collection struct {
	ctx    context.Context // done if all readers leave before the collection begins
	cancel context.CancelFunc
	// Guarded by Share.mu until the collection begins. It does not change afterwards, so the
	// collecting goroutine needs no lock.
	readers []*reader
	began   chan struct{} // closed when the collection begins
	end     time.Time     // the latest time at which the collection ends; set before began is closed
}

// reader is a reader that waits for a collection.
type reader struct {
	of       snapshot.Selector
	deadline time.Time
	done     chan struct{} // closed when there is a snapshot or an error

	// The goroutines of the collection write these before done is closed. The reader reads them
	// after that.
	snap *snapshot.Snapshot
	err  error
}

// Snapshot returns a snapshot of the sandboxes that of selects, and possibly of others. Its
// collection began after the call, or at most maxAge before the call. The snapshot may be a cut: the
// data available at the deadline. Readers share the snapshot, which is immutable.
//
// The error is ErrNoTime if the deadline passes before the collection begins, ctx.Err() if ctx ends
// before that, or the error of the collection. After the collection begins, the end of ctx has no
// effect. None of this affects other readers.
func (s *Share) Snapshot(ctx context.Context, of snapshot.Selector, deadline time.Time, maxAge time.Duration) (*snapshot.Snapshot, error) {
	if again := s.again(of, maxAge); again != nil {
		return again, nil
	}
	c, r := s.join(of, deadline)
	if err := s.await(ctx, c, r); err != nil {
		return nil, err
	}
	late, stop := s.clock.Timer(c.end.Sub(s.clock.Now()) + overdue)
	defer stop()
	select {
	case <-r.done:
		return r.snap, r.err
	case <-late:
		return nil, errOverdue
	}
}

// await waits for the collection to begin. The error says why the reader has left before.
func (s *Share) await(ctx context.Context, c *collection, r *reader) error {
	passed, stop := s.clock.Timer(r.deadline.Sub(s.clock.Now()))
	defer stop()
	reason := ErrNoTime
	select {
	case <-c.began:
		return nil
	case <-passed:
	case <-ctx.Done():
		reason = ctx.Err()
	}
	if s.leave(c, r) {
		return reason
	}
	<-c.began // the collection begins now: the reader can no longer leave and gets its result
	return nil
}

// again returns a recent snapshot that may be served again, or nil.
func (s *Share) again(of snapshot.Selector, maxAge time.Duration) *snapshot.Snapshot {
	if maxAge <= 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := s.recent.covering(of)
	if snap == nil || s.clock.Now().Sub(snap.Began) > maxAge {
		return nil
	}
	return snap
}

// join joins the collection that has not begun yet, or requests a new one.
func (s *Share) join(of snapshot.Selector, deadline time.Time) (*collection, *reader) {
	r := &reader{of: of, deadline: deadline, done: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		c := &collection{began: make(chan struct{})}
		c.ctx, c.cancel = context.WithCancel(s.ended)
		s.next = c
		s.running.Go(func() { s.run(c) })
	}
	s.next.readers = append(s.next.readers, r)
	return s.next, r
}

// leave undoes a join and reports whether it did so before the collection began. A collection
// without readers is canceled.
func (s *Share) leave(c *collection, r *reader) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != c {
		return false
	}
	i := slices.Index(c.readers, r)
	c.readers = slices.Delete(c.readers, i, i+1)
	if len(c.readers) == 0 {
		s.next = nil
		c.cancel()
	}
	return true
}

// run makes a collection for all readers that join before it begins.
func (s *Share) run(c *collection) {
	defer c.cancel()
	if !s.takeTurn(c.ctx) {
		// All readers have left, or the Share is closed and they leave at their deadlines.
		return
	}
	defer func() { <-s.turn }()
	if !s.begin(c) {
		return
	}
	snap, err := s.make(c)
	s.mu.Lock()
	s.runsUntil = time.Time{}
	if err == nil {
		s.recent.add(snap)
	}
	s.mu.Unlock()
	c.finish(snap, err)
}

// takeTurn waits until no other collection runs and the rate limit permits a new one. It reports
// false if ctx ends first.
func (s *Share) takeTurn(ctx context.Context) bool {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	if s.takeToken(ctx) {
		return true
	}
	<-s.turn
	return false
}

// takeToken waits until the rate limit permits a new collection. It reports false if ctx ends first.
func (s *Share) takeToken(ctx context.Context) bool {
	now := s.clock.Now()
	token := s.limit.ReserveN(now, 1)
	passed, stop := s.clock.Timer(token.DelayFrom(now))
	defer stop()
	select {
	case <-passed:
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		token.CancelAt(s.clock.Now())
		return false
	}
	return true
}

// begin closes the collection to joins and leaves, and reports whether it still has readers.
func (s *Share) begin(c *collection) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != c {
		return false
	}
	s.next = nil
	c.end = s.clock.Now().Add(collect.MaxDuration)
	if latest := slices.MaxFunc(c.deadlines(), time.Time.Compare); latest.Before(c.end) {
		c.end = latest
	}
	s.runsUntil = c.end
	close(c.began)
	return true
}

// Overdue reports whether a collection has not ended, long after its deadline.
func (s *Share) Overdue() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.runsUntil.IsZero() && s.clock.Now().Sub(s.runsUntil) > overdue
}

// deadlines returns the deadlines of the readers.
func (c *collection) deadlines() []time.Time {
	var all []time.Time
	for _, r := range c.readers {
		all = append(all, r.deadline)
	}
	return all
}

// selected returns what the readers select together.
func (c *collection) selected() snapshot.Union {
	var all []snapshot.Selector
	for _, r := range c.readers {
		all = append(all, r.of)
	}
	return snapshot.Unite(all)
}

// make collects. A panic fails only this collection and does not stop the server.
func (s *Share) make(c *collection) (snap *snapshot.Snapshot, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	cuts := cutTimes(c.deadlines(), c.end)
	// For each cut: the time of the next cut, or of the end.
	next := append(cuts[:len(cuts):len(cuts)], c.end)[min(1, len(cuts)):]
	return s.collect(collect.Plan{
		Sandboxes: c.selected(),
		Deadline:  c.end,
		Cuts:      cuts,
		OnCut:     func(i int, cut *snapshot.Snapshot) { c.cut(cut, next[i]) },
	})
}

// cut gives a cut to the readers that have none yet and cannot wait until next. It runs during the
// collection, and finish runs after it, so the two never run concurrently.
func (c *collection) cut(cut *snapshot.Snapshot, next time.Time) {
	for _, r := range c.readers {
		if r.snap == nil && r.deadline.Before(next) {
			r.snap = cut
			close(r.done)
		}
	}
}

// finish gives the result to the readers that got no cut.
func (c *collection) finish(snap *snapshot.Snapshot, err error) {
	for _, r := range c.readers {
		if r.snap == nil {
			r.snap, r.err = snap, err
			close(r.done)
		}
	}
}
