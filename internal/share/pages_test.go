package share

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// rendered returns a Prepare for a page that needs no preparation.
func rendered(render func() []byte) Prepare {
	return func() func(Buffer) []byte { return func(Buffer) []byte { return render() } }
}

// page returns a lease of a page of size bytes.
func (w *world) page(snap *snapshot.Snapshot, rendering string, size int) *Lease {
	w.Helper()
	l, err := w.Page(background, snap, rendering, rendered(func() []byte { return make([]byte, size) }))
	if err != nil {
		w.Fatal(err)
	}
	return l
}

func isCutOff(l *Lease) bool {
	synctest.Wait()
	return l.Context().Err() != nil
}

func TestReadersSharePages(t *testing.T) {
	run(t, func(w *world) {
		one, other := new(snapshot.Snapshot), new(snapshot.Snapshot)
		a, b := w.page(one, "x", 10), w.page(one, "x", 10)
		if &a.Body()[0] != &b.Body()[0] {
			t.Error("the same rendering of the same snapshot has two pages")
		}
		c, d := w.page(one, "y", 10), w.page(other, "x", 10)
		if &a.Body()[0] == &c.Body()[0] || &a.Body()[0] == &d.Body()[0] {
			t.Error("different renderings or snapshots share a page")
		}
		if len(w.pages.byKey) != 3 || w.pages.bytes != 30 {
			t.Errorf("%d pages of %d bytes", len(w.pages.byKey), w.pages.bytes)
		}
		a.Release()
		if len(w.pages.byKey) != 3 {
			t.Error("a page is freed while it is read")
		}
		for _, l := range []*Lease{b, c, d} {
			l.Release()
		}
	})
}

// TestFourRenderingsAtOnce also checks that a page without readers is not rendered.
func TestFourRenderingsAtOnce(t *testing.T) {
	run(t, func(w *world) {
		snap := new(snapshot.Snapshot)
		var now, most, all atomic.Int64
		ctx, cancel := context.WithCancel(background)
		var readers sync.WaitGroup
		for i := range 20 {
			readers.Go(func() {
				l, err := w.Page(ctx, snap, fmt.Sprint(i), rendered(func() []byte {
					all.Add(1)
					if n := now.Add(1); n > most.Load() {
						most.Store(n)
					}
					time.Sleep(time.Second)
					now.Add(-1)
					return []byte("page")
				}))
				if err == nil {
					l.Release()
				}
			})
		}
		time.Sleep(1500 * time.Millisecond)
		cancel()
		readers.Wait()
		w.Close()
		if most.Load() != maxRenderings || all.Load() != 2*maxRenderings {
			t.Errorf("%d pages were rendered, %d at once, want %d and %d", all.Load(), most.Load(), 2*maxRenderings, maxRenderings)
		}
	})
}

// TestPreparing checks that pages that take long to prepare, for example because of a costly
// filter, do not block the rendering of others.
func TestPreparing(t *testing.T) {
	run(t, func(w *world) {
		snap := new(snapshot.Snapshot)
		var slow sync.WaitGroup
		for i := range maxRenderings {
			slow.Go(func() {
				l, _ := w.Page(background, snap, fmt.Sprint(i), func() func(Buffer) []byte {
					time.Sleep(time.Minute)
					return func(Buffer) []byte { return nil }
				})
				l.Release()
			})
		}
		synctest.Wait()
		start := time.Now()
		w.page(snap, "quick", 1).Release()
		if took := time.Since(start); took != 0 {
			t.Errorf("it took %v", took)
		}
		slow.Wait()
	})
}

// TestSpareBuffers checks that a page reuses the memory of an earlier page of about the same size,
// for up to two minutes.
func TestSpareBuffers(t *testing.T) {
	run(t, func(w *world) {
		page := func(size int) *byte {
			l := w.buffered(size)
			defer l.Release()
			return &l.Body()[:1][0]
		}
		first := page(1 << 20)
		if page(1<<20-1) != first {
			t.Error("the buffer of the last page is not used again")
		}
		if page(1<<10) == first {
			t.Error("a small page has the buffer of a large one")
		}
		time.Sleep(spareTime)
		synctest.Wait()
		if len(w.pages.spare) != 0 {
			t.Errorf("%d buffers are spare after %v", len(w.pages.spare), spareTime)
		}
	})
}

// buffered returns a lease of an empty page in a buffer for size bytes.
func (w *world) buffered(size int) *Lease {
	w.Helper()
	l, err := w.Page(background, new(snapshot.Snapshot), "x", func() func(Buffer) []byte {
		return func(buffer Buffer) []byte { return buffer(size) }
	})
	if err != nil {
		w.Fatal(err)
	}
	return l
}

// TestSpareBytes checks that four buffers are kept, of 32 MB together, and the newest in any case.
func TestSpareBytes(t *testing.T) {
	run(t, func(w *world) {
		check := func(size, want int) {
			t.Helper()
			var leases []*Lease
			for range 6 {
				leases = append(leases, w.buffered(size))
			}
			for _, l := range leases {
				l.Release()
			}
			if len(w.pages.spare) != want {
				t.Errorf("%d buffers of %d bytes are spare, want %d", len(w.pages.spare), size, want)
			}
		}
		check(1<<10, 4)
		check(12<<20, 2)
		check(40<<20, 1)
	})
}

// TestRenderingPanics checks that a panic fails only the readers of that page.
func TestRenderingPanics(t *testing.T) {
	run(t, func(w *world) {
		snap := new(snapshot.Snapshot)
		if _, err := w.Page(background, snap, "x", rendered(func() []byte { panic("a defect") })); err == nil {
			t.Error("no error")
		}
		w.page(snap, "x", 1).Release()
	})
}

// TestReadRate checks that 256 KiB per second is enough and that one byte per second less is not.
func TestReadRate(t *testing.T) {
	run(t, func(w *world) {
		snap := new(snapshot.Snapshot)
		enough, slow := w.page(snap, "x", 8<<20), w.page(snap, "x", 8<<20)
		for range 20 {
			enough.Sent(minReadRate)
			slow.Sent(minReadRate - 1)
			time.Sleep(time.Second)
		}
		if isCutOff(enough) || !isCutOff(slow) {
			t.Errorf("cut off: %v and %v", isCutOff(enough), isCutOff(slow))
		}
		late := w.page(snap, "x", 8<<20) // the same page
		time.Sleep(readGrace)
		enough.Sent(10 * minReadRate)
		if isCutOff(late) {
			t.Error("a reader that came late is measured from the time of the first one")
		}
		for _, l := range []*Lease{enough, slow, late} {
			l.Release()
		}
	})
}

// TestHeldPages checks that, if more than four pages are still being read after the grace period,
// those with the least progress are cut off.
func TestHeldPages(t *testing.T) {
	run(t, func(w *world) {
		var leases []*Lease
		for range 7 {
			leases = append(leases, w.page(new(snapshot.Snapshot), "x", 30<<20))
		}
		for range 10 {
			for i, l := range leases {
				if !isCutOff(l) {
					l.Sent((i + 1) << 19)
				}
			}
			time.Sleep(time.Second)
		}
		for i, l := range leases {
			if got, want := isCutOff(l), i < 3; got != want {
				t.Errorf("reader %d: cut off %v, want %v", i, got, want)
			}
			l.Release()
		}
	})
}

// TestBytesOfPages checks that pages with the least progress are cut off at once if all pages
// together are too large. The newest page does not count.
func TestBytesOfPages(t *testing.T) {
	run(t, func(w *world) {
		w.pages.most = 25
		a, b := w.page(new(snapshot.Snapshot), "x", 10), w.page(new(snapshot.Snapshot), "x", 10)
		a.Sent(5)
		time.Sleep(time.Millisecond) // among equally slow pages, the oldest is cut off
		c := w.page(new(snapshot.Snapshot), "x", 1000)
		if isCutOff(a) || isCutOff(b) || isCutOff(c) {
			t.Error("cut off, and there is room")
		}
		c.Release()
		c = w.page(new(snapshot.Snapshot), "x", 10)
		d := w.page(new(snapshot.Snapshot), "x", 10)
		if isCutOff(a) || !isCutOff(b) || isCutOff(c) || isCutOff(d) {
			t.Errorf("cut off: %v %v %v %v, want only the second", isCutOff(a), isCutOff(b), isCutOff(c), isCutOff(d))
		}
		for _, l := range []*Lease{a, b, c, d} {
			l.Release()
		}
	})
}
