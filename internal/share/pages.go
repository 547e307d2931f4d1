package share

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// Budgets of pages, which exist for as long as somebody reads them.
const (
	maxRenderings = 4               // pages that are rendered at once
	maxHeld       = 4               // pages that are held for slow readers
	maxBytes      = 256 << 20       // of all pages but the newest
	readGrace     = 5 * time.Second // after which a page that is still being read counts as held
	minReadRate   = 256 << 10       // bytes per second, on average, that a reader has to take after the grace
	reviewEvery   = 1 * time.Second // while there are pages
	maxSpareBytes = 32 << 20        // of spare buffers, unless there is only one
	spareTime     = 2 * time.Minute // after the last page, when the spare buffers are freed
)

// pageKey is what readers have to have in common to share a page.
type pageKey struct {
	snap      *snapshot.Snapshot
	rendering any
}

// pages are the pages that are being rendered or read.
type pages struct {
	rendering chan struct{} // a token for each page that is being rendered

	mu     sync.Mutex
	byKey  map[pageKey]*page
	bytes  int // of the pages that are rendered
	most   int // that there may be: maxBytes, or less in tests
	review *time.Timer
	spare  [][]byte // buffers of the last pages, for the next ones
	drop   *time.Timer
}

// A Buffer returns an empty buffer with room for size bytes. It is for the page that is being rendered only, which gives it back with the page's
// bytes. It is safe for concurrent use. Most often it is that of an earlier page: to get as much memory for each page anew
// costs a scrape of 1,000 sandboxes an eighth more CPU, and the server 6 MB.
type Buffer func(size int) []byte

// page is a page for those who read it.
type page struct {
	key  pageKey
	done chan struct{} // closed when body or err is there

	// Guarded by pages.mu; the first two do not change once done is closed, so readers that have waited for that need no lock.
	body   []byte
	err    error
	ready  time.Time // when it was rendered; zero: it is not yet
	leases map[*Lease]bool
}

func (p *pages) init() {
	p.rendering = make(chan struct{}, maxRenderings)
	p.byKey = make(map[pageKey]*page)
	p.most = maxBytes
}

// close is for when nobody reads any more. A timer's function that runs at this moment finds no pages and does not start its timer again.
func (p *pages) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, timer := range []*time.Timer{p.review, p.drop} {
		if timer != nil {
			timer.Stop()
		}
	}
}

// buffer is a Buffer. Spare ones that are much too large are left for larger pages, or freed when none comes.
func (p *pages) buffer(size int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, b := range p.spare {
		if cap(b) >= size && cap(b) <= 2*size+64<<10 {
			p.spare = slices.Delete(p.spare, i, i+1)
			return b
		}
	}
	return make([]byte, 0, size+size/16) // the next page of the same sandboxes may be a little longer
}

// keep keeps the buffer of a page that nobody reads any more: at least one, and as many as are rendered at once if they are small.
func (p *pages) keep(b []byte) {
	if cap(b) == 0 {
		return // it could not be rendered
	}
	p.spare = append(p.spare, b[:0])
	bytes := 0
	for i := len(p.spare) - 1; i >= 0; i-- { // the newest first
		bytes += cap(p.spare[i])
		if i < len(p.spare)-1 && (bytes > maxSpareBytes || len(p.spare)-i > maxRenderings) {
			p.spare = slices.Delete(p.spare, 0, i+1)
			break
		}
	}
	if p.drop == nil {
		p.drop = time.AfterFunc(spareTime, func() {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.spare = nil
		})
	}
	p.drop.Reset(spareTime)
}

// A Lease keeps a page for one reader. It is used by one goroutine, but for its context, which any may use.
type Lease struct {
	pages  *pages
	page   *page
	ctx    context.Context
	cutOff context.CancelFunc
	since  time.Time // when it was given

	sent int // bytes; guarded by pages.mu
}

// A Prepare does what is to be done for a page before it is rendered, which may wait for other things than the processor, and returns the
// function that renders it. At most four of these run at a time, any number of Prepares.
type Prepare func() (render func(Buffer) []byte)

// Page returns a lease of a rendering of the snapshot. Readers that give the same snapshot and rendering share the bytes, which are prepared
// and rendered once; they must not depend on anything else. Renderings are compared with ==. The page is made by a goroutine of the Share, so
// that a reader that leaves takes nothing from the others. The caller releases the lease. The error is that of ctx, or says that
// rendering failed.
func (s *Share) Page(ctx context.Context, snap *snapshot.Snapshot, rendering any, prepare Prepare) (*Lease, error) {
	return s.page(ctx, pageKey{snap, rendering}, func() (work, error) { return work{render: prepare()}, nil })
}

// work is how a page is made, once it is prepared.
type work struct {
	render func(Buffer) []byte
	done   func() // called when it is, whether render was called or not; nil: nothing
}

func (s *Share) page(ctx context.Context, key pageKey, prepare func() (work, error)) (*Lease, error) {
	l, first := s.pages.lease(key)
	if first {
		s.running.Go(func() { s.pages.make(l.page, prepare) })
	}
	select {
	case <-l.page.done:
	case <-ctx.Done():
		l.Release()
		return nil, ctx.Err()
	}
	if l.page.err != nil {
		l.Release()
		return nil, l.page.err
	}
	return l, nil
}

// Body is the page. It must not be changed, nor used after Release.
func (l *Lease) Body() []byte { return l.page.body }

// Context ends when the reader is cut off: it is too slow for its page to be kept.
func (l *Lease) Context() context.Context { return l.ctx }

// Sent says that the reader has taken n more bytes.
func (l *Lease) Sent(n int) {
	l.pages.mu.Lock()
	defer l.pages.mu.Unlock()
	l.sent += n
}

// Release ends the lease; to release it again does nothing. The memory of a page without leases is used for other pages.
func (l *Lease) Release() {
	p := l.pages
	p.mu.Lock()
	defer p.mu.Unlock()
	l.cutOff()
	delete(l.page.leases, l)
	if len(l.page.leases) == 0 && p.byKey[l.page.key] == l.page {
		delete(p.byKey, l.page.key)
		p.bytes -= cap(l.page.body)
		p.keep(l.page.body)
	}
}

// lease returns a lease of the page with the key, and whether it is the first one: then the page has to be rendered.
func (p *pages) lease(k pageKey) (l *Lease, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pg := p.byKey[k]
	if first = pg == nil; first {
		pg = &page{key: k, done: make(chan struct{}), leases: make(map[*Lease]bool)}
		p.byKey[k] = pg
	}
	l = &Lease{pages: p, page: pg, since: time.Now()}
	l.ctx, l.cutOff = context.WithCancel(context.Background())
	pg.leases[l] = true
	return l, first
}

// make makes the page, unless all its readers have gone by the time that its turn comes.
func (p *pages) make(pg *page, prepare func() (work, error)) {
	defer close(pg.done)
	body, err := p.try(pg, prepare)
	p.rendered(pg, body, err)
}

// try prepares and renders. A defect of ours is this page's failure, not the end of the server.
func (p *pages) try(pg *page, prepare func() (work, error)) (body []byte, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v\n%s", r, debug.Stack())
		}
	}()
	w, err := prepare()
	if err != nil {
		return nil, err
	}
	if w.done != nil {
		defer w.done()
	}
	p.rendering <- struct{}{}
	defer func() { <-p.rendering }()
	if !p.wanted(pg) {
		return nil, nil
	}
	return w.render(p.buffer), nil
}

func (p *pages) wanted(pg *page) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(pg.leases) > 0
}

// rendered takes in a page that is ready to be read, and makes room for it.
func (p *pages) rendered(pg *page, body []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byKey[pg.key] != pg {
		return // all its readers have gone meanwhile
	}
	pg.body, pg.err, pg.ready = body, err, time.Now()
	p.bytes += cap(pg.body)
	left := p.bytes - cap(pg.body)
	for _, old := range p.slowest(func(old *page) bool { return old != pg }) {
		if left <= p.most {
			break
		}
		old.cutOff()
		left -= cap(old.body)
	}
	if p.review == nil {
		p.review = time.AfterFunc(reviewEvery, p.reviewAll)
	}
}

// reviewAll cuts off readers that are too slow, and the slowest pages where too many are held.
func (p *pages) reviewAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	held := p.slowest(func(pg *page) bool { return now.Sub(pg.ready) > readGrace })
	for i, pg := range held {
		for l := range pg.leases {
			if l.tooSlow(now) {
				l.cutOff()
			}
		}
		if i < len(held)-maxHeld {
			pg.cutOff()
		}
	}
	p.review = nil
	if len(p.byKey) > 0 {
		p.review = time.AfterFunc(reviewEvery, p.reviewAll)
	}
}

// tooSlow reports whether the reader has taken less than it has to.
func (l *Lease) tooSlow(now time.Time) bool {
	began := l.since
	if l.page.ready.After(began) {
		began = l.page.ready
	}
	took := now.Sub(began)
	return took > readGrace && float64(l.sent) < minReadRate*took.Seconds()
}

// slowest returns the pages that are rendered, that have readers which are not cut off, and that match: those with the least progress first.
func (p *pages) slowest(match func(*page) bool) []*page {
	found := slices.DeleteFunc(slices.Collect(maps.Values(p.byKey)), func(pg *page) bool { return pg.ready.IsZero() || pg.isCutOff() || !match(pg) })
	slices.SortFunc(found, func(a, b *page) int {
		return cmp.Or(cmp.Compare(a.progress(), b.progress()), a.ready.Compare(b.ready))
	})
	return found
}

// progress is how much of the page its fastest reader has taken, from 0 to 1.
func (pg *page) progress() float64 {
	most := 0
	for l := range pg.leases {
		most = max(most, l.sent)
	}
	return float64(most) / float64(max(1, len(pg.body)))
}

func (pg *page) isCutOff() bool {
	for l := range pg.leases {
		if l.ctx.Err() == nil {
			return false
		}
	}
	return true
}

// cutOff cuts off all readers of the page. It is freed when they have released it.
func (pg *page) cutOff() {
	for l := range pg.leases {
		l.cutOff()
	}
}
