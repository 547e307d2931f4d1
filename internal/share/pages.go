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

	"github.com/sandmeter/sandmeter/internal/clock"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// Budgets for pages. A page exists only while it has readers.
const (
	maxRenderings = 4         // pages that are rendered at once
	maxHeld       = 4         // pages that are held for slow readers
	maxBytes      = 256 << 20 // of all pages except the newest
	// A page that is still being read after this time counts as held.
	readGrace = 5 * time.Second
	// Bytes per second that a reader must take on average after the grace period.
	minReadRate   = 256 << 10
	reviewEvery   = 1 * time.Second // while there are pages
	maxSpareBytes = 32 << 20        // of spare buffers; a single buffer may be larger
	spareTime     = 2 * time.Minute // the spare buffers are freed this long after the last page
)

// pageKey identifies a page. Readers with equal keys share the page.
type pageKey struct {
	snap      *snapshot.Snapshot
	rendering any
}

// pages holds the pages that are being rendered or read.
type pages struct {
	clock     clock.Clock
	rendering chan struct{} // holds a token for each page that is being rendered

	mu     sync.Mutex
	byKey  map[pageKey]*page
	bytes  int      // total size of the rendered pages
	most   int      // upper limit of bytes: maxBytes, or less in tests
	review func()   // stops the next review; nil: there is none
	spare  [][]byte // buffers of the last pages, for reuse
	drop   func()   // stops the timer that drops them; nil: there is none
}

// A Buffer returns an empty buffer with room for size bytes. The buffer is only for the page that
// is being rendered, and is kept for reuse after that page is freed. A Buffer is safe for
// concurrent use. It usually reuses the buffer of an earlier page: allocating each page anew costs
// an eighth more CPU per scrape of 1,000 sandboxes, and 6 MB of server memory.
type Buffer func(size int) []byte

// page is a page that its readers share.
type page struct {
	key  pageKey
	done chan struct{} // closed when body or err is set

	// Guarded by pages.mu. body and err do not change after done is closed, so readers that have
	// waited for done need no lock.
	body   []byte
	err    error
	ready  time.Time // time of rendering; zero until the page is rendered
	leases map[*Lease]bool
}

func (p *pages) init(clock clock.Clock) {
	p.clock = clock
	p.rendering = make(chan struct{}, maxRenderings)
	p.byKey = make(map[pageKey]*page)
	p.most = maxBytes
}

// close stops the timers. Call it when there are no more readers. A timer function that runs at the
// same time finds no pages and does not restart its timer.
func (p *pages) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, stop := range []func(){p.review, p.drop} {
		if stop != nil {
			stop()
		}
	}
}

// buffer implements Buffer. It skips spare buffers that are much too large: they stay available for
// larger pages until they are freed.
func (p *pages) buffer(size int) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, b := range p.spare {
		if cap(b) >= size && cap(b) <= 2*size+64<<10 {
			p.spare = slices.Delete(p.spare, i, i+1)
			return b
		}
	}
	// Leave room: the next page of the same sandboxes may be slightly longer.
	return make([]byte, 0, size+size/16)
}

// keep keeps the buffer of a page without readers for reuse. It always keeps the newest buffer, and
// up to maxRenderings buffers if they fit into maxSpareBytes. The caller holds p.mu.
func (p *pages) keep(b []byte) {
	if cap(b) == 0 {
		return // rendering failed
	}
	p.spare = append(p.spare, b[:0])
	bytes := 0
	for i := len(p.spare) - 1; i >= 0; i-- { // newest first
		bytes += cap(p.spare[i])
		if i < len(p.spare)-1 && (bytes > maxSpareBytes || len(p.spare)-i > maxRenderings) {
			p.spare = slices.Delete(p.spare, 0, i+1)
			break
		}
	}
	if p.drop != nil {
		p.drop()
	}
	p.drop = p.clock.AfterFunc(spareTime, p.dropSpare)
}

// dropSpare frees the buffers of the last pages.
func (p *pages) dropSpare() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spare = nil
}

// A Lease keeps a page for one reader. Only one goroutine may use it, except for its context, which
// is safe for concurrent use.
type Lease struct {
	pages  *pages
	page   *page
	ctx    context.Context
	cutOff context.CancelFunc
	since  time.Time // creation time of the lease

	sent int // bytes; guarded by pages.mu
}

// A Prepare does the work before rendering, which may wait for something other than the CPU, and
// returns the function that renders the page. At most four render functions run at a time; Prepares
// are not limited.
type Prepare func() (render func(Buffer) []byte)

// Page returns a lease of a rendering of the snapshot. Readers that pass the same snapshot and
// rendering share the bytes, which are prepared and rendered once and must not depend on anything
// else. Renderings are compared with ==. A goroutine of the Share makes the page, so a reader that
// leaves does not affect the others. The caller must release the lease. The error is ctx.Err(), or
// reports that rendering failed.
func (s *Share) Page(ctx context.Context, snap *snapshot.Snapshot, rendering any, prepare Prepare) (*Lease, error) {
	return s.page(ctx, pageKey{snap, rendering}, func() (work, error) { return work{render: prepare()}, nil })
}

// work holds the functions that make a page after it is prepared.
type work struct {
	render func(Buffer) []byte
	done   func() // called after render, or instead of it if render is skipped; may be nil
}

func (s *Share) page(ctx context.Context, key pageKey, prepare func() (work, error)) (*Lease, error) {
	l, first := s.pages.lease(key)
	if first {
		s.running.Go(func() {
			defer close(l.page.done)
			body, err := s.pages.try(l.page, prepare)
			s.pages.rendered(l.page, body, err)
		})
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

// Body returns the page. Do not change it, and do not use it after Release.
func (l *Lease) Body() []byte { return l.page.body }

// Context is canceled when the reader is cut off because it is too slow, and by Release.
func (l *Lease) Context() context.Context { return l.ctx }

// Sent records that the reader has taken n more bytes.
func (l *Lease) Sent(n int) {
	l.pages.mu.Lock()
	defer l.pages.mu.Unlock()
	l.sent += n
}

// Release ends the lease. Further calls do nothing. The memory of a page without leases is reused
// for other pages.
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

// lease returns a lease of the page with the key and reports whether it is the first one. The
// caller must then render the page.
func (p *pages) lease(k pageKey) (l *Lease, first bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	pg := p.byKey[k]
	if first = pg == nil; first {
		pg = &page{key: k, done: make(chan struct{}), leases: make(map[*Lease]bool)}
		p.byKey[k] = pg
	}
	l = &Lease{pages: p, page: pg, since: p.clock.Now()}
	l.ctx, l.cutOff = context.WithCancel(context.Background())
	pg.leases[l] = true
	return l, first
}

// try prepares and renders the page. A panic fails only this page and does not stop the server.
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

// rendered stores a page that is ready to be read. If the other pages exceed the budget, it cuts
// off those with the least progress.
func (p *pages) rendered(pg *page, body []byte, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.byKey[pg.key] != pg {
		return // all its readers have left in the meantime
	}
	pg.body, pg.err, pg.ready = body, err, p.clock.Now()
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
		p.review = p.clock.AfterFunc(reviewEvery, p.reviewAll)
	}
}

// reviewAll cuts off readers that are too slow. If too many pages are held, it also cuts off those
// with the least progress.
func (p *pages) reviewAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.clock.Now()
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
		p.review = p.clock.AfterFunc(reviewEvery, p.reviewAll)
	}
}

// tooSlow reports whether the reader has taken fewer bytes than minReadRate requires.
func (l *Lease) tooSlow(now time.Time) bool {
	began := l.since
	if l.page.ready.After(began) {
		began = l.page.ready
	}
	took := now.Sub(began)
	return took > readGrace && float64(l.sent) < minReadRate*took.Seconds()
}

// slowest returns the rendered pages that match and have at least one reader that is not cut off,
// sorted by progress, least first, then by age, oldest first. The caller holds p.mu.
func (p *pages) slowest(match func(*page) bool) []*page {
	found := slices.DeleteFunc(slices.Collect(maps.Values(p.byKey)), func(pg *page) bool { return pg.ready.IsZero() || pg.isCutOff() || !match(pg) })
	slices.SortFunc(found, func(a, b *page) int {
		return cmp.Or(cmp.Compare(a.progress(), b.progress()), a.ready.Compare(b.ready))
	})
	return found
}

// progress returns the fraction of the page that its fastest reader has taken, from 0 to 1.
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

// cutOff cuts off all readers of the page. The page is freed after all of them have released it.
func (pg *page) cutOff() {
	for l := range pg.leases {
		l.cutOff()
	}
}
