package web

import (
	"context"
	"errors"
	"regexp"
	"slices"
	"sync"
	"time"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/expo"
)

// hurried is the time below which a scrape shares only with its like: what it leaves no time for would be missing for the others.
const hurried = time.Second

// parting is how long the collector's turn is awaited for a client that has closed its side of the connection. It may be gone, or have
// said all that it has to say and be waiting for its answer: net/http takes the one for the other.
const parting = 100 * time.Millisecond

// overdue is how much later than the deadline a page may come: rendering it is not counted.
const overdue = 5 * time.Second

var errOverdue = errors.New("the collection has not ended, long after its deadline")

// maxHeld bounds the bytes of pages that slow clients keep from being freed. The newest page is not counted.
const maxHeld = 256 << 20

// A sharer lets scrapes that ask the same while a collection runs share the next one and its bytes. Nobody gets what was collected for
// somebody who came before him, so what he gets is never older than his request; and any number of scrapers costs two collections.
type sharer struct {
	collector *collect.Collector
	running   sync.WaitGroup

	mu      sync.Mutex
	waiting map[key]*scrape // not begun yet
	spare   spare
	held    []*scrape // whose pages have users, oldest first
	bytes   int       // of their pages
	most    int       // that they may have: maxHeld, or less in tests
}

// key is what scrapes have to have in common to share.
type key struct {
	filter, capabilities string
	hurried              bool
}

func keyOf(r collect.Request) key {
	return key{text(r.Filter), text(r.Capabilities), time.Until(r.Deadline) < hurried}
}

func text(re *regexp.Regexp) string {
	if re == nil {
		return ""
	}
	return re.String()
}

// scrape is a collection that some have asked for.
type scrape struct {
	key    key
	asked  collect.Request // its deadline is the first one's, and once it has begun that of all
	ctx    context.Context // done when the scrape is given up: nobody waits for it, or its page is held for too long
	giveUp context.CancelFunc

	begun chan struct{} // closed when nobody can join any more
	done  chan struct{} // closed when body or err is there
	body  []byte
	err   error

	// Guarded by sharer.mu.
	deadlines []time.Time // of those who wait, until it begins
	users     int         // those who wait for the page or read it, from then on
}

func newSharer(c *collect.Collector) *sharer {
	s := &sharer{collector: c, waiting: make(map[key]*scrape), most: maxHeld}
	s.spare.locker = &s.mu
	return s
}

// close waits for the collections that are under way. Nobody may call get any more.
func (s *sharer) close() {
	s.running.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.spare.close()
}

// get returns a scrape that was collected after the call. The caller leaves it with its deadline when the page is written. If ctx ends,
// or the time is over, before the collector's turn comes, others who wait are none the worse.
func (s *sharer) get(ctx context.Context, r collect.Request) (*scrape, error) {
	sc := s.join(r)
	waiting, cancel := context.WithDeadline(context.WithoutCancel(ctx), r.Deadline)
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(parting, cancel) })()
	select {
	case <-sc.begun:
	case <-waiting.Done():
		s.leave(sc, r.Deadline)
		return nil, waiting.Err()
	}
	// What is collected has a deadline. Should it not be kept, nobody is to wait for ever.
	late := time.NewTimer(time.Until(sc.asked.Deadline) + overdue)
	defer late.Stop()
	select {
	case <-sc.done:
	case <-late.C:
		s.leave(sc, r.Deadline)
		return nil, errOverdue
	}
	if sc.err != nil {
		s.leave(sc, r.Deadline)
		return nil, sc.err
	}
	return sc, nil
}

// join joins the scrape that asks the same and has not begun yet, or makes one.
func (s *sharer) join(r collect.Request) *scrape {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := keyOf(r)
	sc := s.waiting[k]
	if sc == nil {
		sc = &scrape{key: k, asked: r, begun: make(chan struct{}), done: make(chan struct{})}
		sc.ctx, sc.giveUp = context.WithCancel(context.Background())
		s.waiting[k] = sc
		s.running.Go(func() { s.run(sc) })
	}
	sc.deadlines = append(sc.deadlines, r.Deadline)
	return sc
}

// leave takes back one join. A scrape that has not begun and that nobody waits for any more is not made; a page that nobody reads any
// more is freed.
func (s *sharer) leave(sc *scrape, deadline time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[sc.key] == sc {
		i := slices.Index(sc.deadlines, deadline)
		sc.deadlines = slices.Delete(sc.deadlines, i, i+1)
		if len(sc.deadlines) == 0 {
			delete(s.waiting, sc.key)
			sc.giveUp()
		}
		return
	}
	sc.users--
	if i := slices.Index(s.held, sc); i >= 0 && sc.users == 0 {
		s.held = slices.Delete(s.held, i, i+1)
		s.bytes -= cap(sc.body)
		s.recycle(sc)
	}
}

// run collects for all who have joined by the time that the collector's turn comes.
func (s *sharer) run(sc *scrape) {
	defer s.finish(sc)
	defer func() {
		// A defect of ours is this scrape's failure, not the end of the server.
		if p := recover(); p != nil {
			sc.err = panicError(p)
		}
	}()
	sc.err = s.collector.Collect(sc.ctx,
		func() collect.Request { return s.begin(sc) },
		func(p *expo.Page) { sc.body = expo.AppendText(s.buffer(p.Size()), p) })
}

// begin makes the scrape one that nobody can join any more, and returns what it has to collect.
func (s *sharer) begin(sc *scrape) collect.Request {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.waiting[sc.key] == sc {
		delete(s.waiting, sc.key)
		sc.users = len(sc.deadlines)
		sc.asked.Deadline = commonDeadline(sc.deadlines, time.Now())
		close(sc.begun)
	}
	return sc.asked
}

// commonDeadline returns when what all who wait share has to be over: the earliest of their times. One to whom waiting left much less
// than to others does not count: the others would get his half-empty page, and he gets theirs, most probably in time.
func commonDeadline(deadlines []time.Time, now time.Time) time.Time {
	latest := slices.MaxFunc(deadlines, time.Time.Compare)
	enough := now.Add(min(hurried, latest.Sub(now)/2))
	common := latest
	for _, d := range deadlines {
		if d.Before(common) && !d.Before(enough) {
			common = d
		}
	}
	return common
}

// finish gives the page, or the reason why there is none, to those who still want it.
func (s *sharer) finish(sc *scrape) {
	s.begin(sc) // it has panicked before
	s.mu.Lock()
	defer s.mu.Unlock()
	close(sc.done)
	if sc.body == nil {
		return
	}
	if sc.users == 0 {
		s.recycle(sc)
	} else {
		s.hold(sc)
	}
}

// hold keeps the page until all have left it. For pages that together are too much those who read the oldest are to blame.
func (s *sharer) hold(sc *scrape) {
	s.bytes += cap(sc.body)
	left := s.bytes
	for _, old := range s.held {
		if left <= s.most {
			break
		}
		old.giveUp()
		left -= cap(old.body)
	}
	s.held = append(s.held, sc)
}

// buffer returns an empty buffer with room for size bytes.
func (s *sharer) buffer(size int) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.spare.take(size)
}

func (s *sharer) recycle(sc *scrape) {
	s.spare.put(sc.body)
	sc.body = nil
}
