package web

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/expo"
)

// hurried is the time below which a scrape shares only with its like: what it leaves no time for would be missing for the others.
const hurried = time.Second

// A sharer lets scrapes that ask the same while a collection runs share the next one and its bytes. Nobody gets what was collected for
// somebody who came before him, so what he gets is never older than his request; and any number of scrapers costs two collections.
type sharer struct {
	collector *collect.Collector
	running   sync.WaitGroup

	mu      sync.Mutex
	waiting map[key]*scrape // not begun yet

	buffers sync.Pool    // of *[]byte
	size    atomic.Int64 // of the last page
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
	request collect.Request // its deadline is the earliest of those who wait
	waiters int             // while it is waiting
	cancel  context.CancelFunc

	done chan struct{} // closed when page or err is there
	page *page
	err  error
}

// page is a rendered page that some share. Each releases it once.
type page struct {
	body  []byte
	users atomic.Int32
	free  func([]byte)
}

func (p *page) release() {
	if p.users.Add(-1) == 0 {
		p.free(p.body)
	}
}

func newSharer(c *collect.Collector) *sharer {
	return &sharer{collector: c, waiting: make(map[key]*scrape)}
}

// close waits for the collections that are under way.
func (s *sharer) close() { s.running.Wait() }

// get returns a page that was collected after the call. The caller releases it. If ctx ends first, others who wait are none the worse.
func (s *sharer) get(ctx context.Context, r collect.Request) (*page, error) {
	k := keyOf(r)
	for {
		sc := s.join(k, r)
		select {
		case <-sc.done:
		case <-ctx.Done():
			s.leave(k, sc)
			return nil, ctx.Err()
		}
		// The time of one who came earlier may be over when this one's is not.
		if errors.Is(sc.err, context.DeadlineExceeded) && time.Now().Before(r.Deadline) {
			continue
		}
		return sc.page, sc.err
	}
}

// join joins the scrape for k that has not begun yet, or makes one.
func (s *sharer) join(k key, r collect.Request) *scrape {
	s.mu.Lock()
	defer s.mu.Unlock()
	sc := s.waiting[k]
	if sc == nil {
		ctx, cancel := context.WithDeadline(context.Background(), r.Deadline)
		sc = &scrape{request: r, cancel: cancel, done: make(chan struct{})}
		s.waiting[k] = sc
		s.running.Go(func() { s.run(ctx, k, sc) })
	}
	sc.waiters++
	if r.Deadline.Before(sc.request.Deadline) {
		sc.request.Deadline = r.Deadline
	}
	return sc
}

// leave takes back one join. A scrape that has not begun and that nobody waits for any more is not made.
func (s *sharer) leave(k key, sc *scrape) {
	s.mu.Lock()
	begun := s.waiting[k] != sc
	if !begun {
		if sc.waiters--; sc.waiters == 0 {
			delete(s.waiting, k)
			sc.cancel()
		}
	}
	s.mu.Unlock()
	if begun {
		// It was counted among those who share the page.
		s.running.Go(func() {
			if <-sc.done; sc.page != nil {
				sc.page.release()
			}
		})
	}
}

// run collects for all who have joined by the time that the collector's turn comes.
func (s *sharer) run(ctx context.Context, k key, sc *scrape) {
	defer close(sc.done)
	defer sc.cancel()
	defer func() {
		// A defect of ours is this scrape's failure, not the end of the server.
		if p := recover(); p != nil {
			sc.err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
		s.mu.Lock()
		s.forget(k, sc)
		s.mu.Unlock()
	}()
	var waiters int
	begin := func() collect.Request {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.forget(k, sc)
		waiters = sc.waiters
		return sc.request
	}
	sc.err = s.collector.Collect(ctx, begin, func(p *expo.Page) {
		sc.page = &page{body: expo.AppendText(s.buffer(), p), free: s.recycle}
		sc.page.users.Store(int32(waiters))
		s.size.Store(int64(len(sc.page.body)))
	})
}

// forget makes the scrape one that nobody can join any more.
func (s *sharer) forget(k key, sc *scrape) {
	if s.waiting[k] == sc {
		delete(s.waiting, k)
	}
}

// buffer returns an empty buffer with room for a page like the last one.
func (s *sharer) buffer() []byte {
	size := int(s.size.Load())
	if b, ok := s.buffers.Get().(*[]byte); ok && cap(*b) >= size {
		return (*b)[:0]
	}
	return make([]byte, 0, size+size/8)
}

func (s *sharer) recycle(b []byte) { s.buffers.Put(&b) }
