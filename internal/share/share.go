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

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// overdue is how much later than its deadline a collection may end before its readers are told that there is something wrong with the server.
const overdue = 5 * time.Second

// Errors of Snapshot, besides that of the collection.
var (
	ErrNoTime  = errors.New("no time left for a collection")
	errOverdue = errors.New("the collection has not ended, long after its deadline")
)

// A Collect makes a collection, as collect.Collector.Collect does: by the plan's deadline, with a snapshot that is never changed after that. It is
// called by one goroutine at a time.
type Collect func(collect.Plan) (*snapshot.Snapshot, error)

// A Share shares snapshots and pages. It is safe for concurrent use. Close it when it is no longer needed.
type Share struct {
	collect Collect
	limit   *rate.Limiter
	pages   pages

	ended   context.Context // done when Close is called
	end     context.CancelFunc
	running sync.WaitGroup // the goroutine that collects, and those that render
	turn    chan struct{}  // holds a token while a collection is under way or being waited for by its goroutine

	mu     sync.Mutex
	next   *collection        // that readers can join; nil: none has been asked for
	latest *snapshot.Snapshot // the last complete one
}

// New returns a Share of the collections that collect makes. perSecond of them begin per second at most, after a burst of as many, so that a
// client that asks in a loop cannot keep every sandbox awake.
func New(collect Collect, perSecond int) *Share {
	s := &Share{
		collect: collect,
		limit:   rate.NewLimiter(rate.Limit(perSecond), perSecond),
		turn:    make(chan struct{}, 1),
	}
	s.pages.init()
	s.ended, s.end = context.WithCancel(context.Background())
	return s
}

// Close waits for the collections and renderings under way. Collections that have not begun are not made.
func (s *Share) Close() {
	s.end()
	s.running.Wait()
	s.pages.close()
}

// collection is one that readers wait for.
type collection struct {
	ctx     context.Context // done if all its readers leave before it begins
	cancel  context.CancelFunc
	readers []*reader // guarded by Share.mu until it begins; does not change from then on, and so the collecting goroutine needs no lock
	end     time.Time // at the latest; set before the readers' began is closed, and read by them after that
}

// reader is one that waits for a collection.
type reader struct {
	deadline time.Time
	began    chan struct{} // closed when the collection begins
	done     chan struct{} // closed when there is a snapshot or an error

	// Written by the goroutines of the collection before done is closed, and read by the reader after that.
	snap *snapshot.Snapshot
	err  error
}

// Snapshot returns a snapshot whose collection began after the call, or the latest one if it began at most maxAge before. It may be a cut: what
// was known at the deadline. Readers share it, and it is immutable.
//
// The error is ErrNoTime if the deadline passes before the collection begins, that of ctx if ctx ends before that, or the collection's. Once
// it has begun, the end of ctx no longer counts. Other readers do not notice any of it.
func (s *Share) Snapshot(ctx context.Context, deadline time.Time, maxAge time.Duration) (*snapshot.Snapshot, error) {
	if recent := s.recent(maxAge); recent != nil {
		return recent, nil
	}
	c, r := s.join(deadline)
	waiting, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	select {
	case <-r.began:
	case <-waiting.Done():
		if s.leave(c, r) {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			return nil, ErrNoTime
		}
		<-r.began // it begins at this moment: a reader that can no longer leave is served
	}
	late := time.NewTimer(time.Until(c.end) + overdue)
	defer late.Stop()
	select {
	case <-r.done:
		return r.snap, r.err
	case <-late.C:
		return nil, errOverdue
	}
}

// recent returns the latest snapshot if it is recent enough.
func (s *Share) recent(maxAge time.Duration) *snapshot.Snapshot {
	if maxAge <= 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.latest == nil || time.Since(s.latest.Began) > maxAge {
		return nil
	}
	return s.latest
}

// join joins the collection that has not begun yet, or asks for one.
func (s *Share) join(deadline time.Time) (*collection, *reader) {
	r := &reader{deadline: deadline, began: make(chan struct{}), done: make(chan struct{})}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		c := new(collection)
		c.ctx, c.cancel = context.WithCancel(s.ended)
		s.next = c
		s.running.Go(func() { s.run(c) })
	}
	s.next.readers = append(s.next.readers, r)
	return s.next, r
}

// leave takes back a join, and reports whether that was before the collection began. One that nobody waits for is not made.
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

// run makes a collection for all that have joined by the time that it begins.
func (s *Share) run(c *collection) {
	defer c.cancel()
	if !s.takeTurn(c.ctx) {
		return // its readers have left, or will when their time is over: the server ends
	}
	defer func() { <-s.turn }()
	if !s.begin(c) {
		return
	}
	snap, err := s.make(c)
	if err == nil {
		s.mu.Lock()
		s.latest = snap
		s.mu.Unlock()
	}
	c.finish(snap, err)
}

// takeTurn waits until no other collection is under way and the rate limit allows another, and reports whether that was before ctx ended.
func (s *Share) takeTurn(ctx context.Context) bool {
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return false
	}
	if s.limit.Wait(ctx) == nil && ctx.Err() == nil {
		return true
	}
	<-s.turn
	return false
}

// begin makes the collection one that nobody can join or leave any more, and reports whether anybody waits for it.
func (s *Share) begin(c *collection) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next != c {
		return false
	}
	s.next = nil
	c.end = time.Now().Add(collect.MaxDuration)
	if latest := slices.MaxFunc(c.deadlines(), time.Time.Compare); latest.Before(c.end) {
		c.end = latest
	}
	for _, r := range c.readers {
		close(r.began)
	}
	return true
}

// deadlines are those of the readers.
func (c *collection) deadlines() []time.Time {
	var all []time.Time
	for _, r := range c.readers {
		all = append(all, r.deadline)
	}
	return all
}

// make collects. A defect of ours is this collection's failure, not the end of the server.
func (s *Share) make(c *collection) (snap *snapshot.Snapshot, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	cuts := cutTimes(c.deadlines(), c.end)
	next := append(cuts[:len(cuts):len(cuts)], c.end)[min(1, len(cuts)):] // by cut: the time of the next one, or of the end
	return s.collect(collect.Plan{Deadline: c.end, Cuts: cuts, OnCut: func(i int, cut *snapshot.Snapshot) { c.cut(cut, next[i]) }})
}

// cut gives a cut to the readers that have none yet and cannot wait until next. It is called while the collection is under way, and finish
// after it, so that the two never run at once.
func (c *collection) cut(cut *snapshot.Snapshot, next time.Time) {
	for _, r := range c.readers {
		if r.snap == nil && r.deadline.Before(next) {
			r.snap = cut
			close(r.done)
		}
	}
}

// finish gives the result to the readers that have not had a cut.
func (c *collection) finish(snap *snapshot.Snapshot, err error) {
	for _, r := range c.readers {
		if r.snap == nil {
			r.snap, r.err = snap, err
			close(r.done)
		}
	}
}
