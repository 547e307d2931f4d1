package share

import (
	"bytes"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// halves is an encoding that keeps the first half of a page and takes one second.
type halves struct{ calls *atomic.Int64 }

func (h halves) Append(b, page []byte) []byte {
	h.calls.Add(1)
	time.Sleep(time.Second)
	return append(b, page[:len(page)/2]...)
}

func (w *world) encoded(snap *snapshot.Snapshot, rendering string, prepare Prepare, e Encoding) *Lease {
	w.Helper()
	l, err := w.EncodedPage(background, snap, rendering, prepare, e)
	if err != nil {
		w.Fatal(err)
	}
	return l
}

// TestEncodedPages checks that a page is rendered once, and encoded once per encoding, for any
// number of readers, and that the plain page is freed after encoding.
func TestEncodedPages(t *testing.T) {
	run(t, func(w *world) {
		snap := new(snapshot.Snapshot)
		var renderings, first, second atomic.Int64
		prepare := rendered(func() []byte {
			renderings.Add(1)
			time.Sleep(time.Second)
			return bytes.Repeat([]byte("x"), 100)
		})
		var readers sync.WaitGroup
		leases := make(chan *Lease, 20)
		for range 5 {
			readers.Go(func() { leases <- w.encoded(snap, "r", prepare, halves{&first}) })
			readers.Go(func() { leases <- w.encoded(snap, "r", prepare, halves{&second}) })
		}
		start := time.Now()
		readers.Wait()
		if took := time.Since(start); took != 2*time.Second || renderings.Load() != 1 || first.Load() != 1 || second.Load() != 1 {
			t.Errorf("%d renderings, %d and %d encodings in %v", renderings.Load(), first.Load(), second.Load(), took)
		}
		close(leases)
		synctest.Wait()
		if len(w.pages.byKey) != 2 {
			t.Errorf("%d pages are kept, want the two that are read", len(w.pages.byKey))
		}
		var bodies []string
		for l := range leases {
			bodies = append(bodies, string(l.Body()))
			l.Release()
		}
		if got := strings.Join(bodies, ""); got != strings.Repeat("x", 500) {
			t.Errorf("the pages are %q", bodies)
		}
		if w.pages.bytes != 0 || len(w.pages.byKey) != 0 {
			t.Errorf("%d pages of %d bytes are left", len(w.pages.byKey), w.pages.bytes)
		}
	})
}

// TestEncodedPageFails checks that an encoded page fails if its plain page or its encoding fails,
// and that the failed page is not kept.
func TestEncodedPageFails(t *testing.T) {
	fails := func(prepare Prepare, e Encoding) {
		t.Helper()
		run(t, func(w *world) {
			_, err := w.EncodedPage(background, new(snapshot.Snapshot), "r", prepare, e)
			if err == nil || !strings.Contains(err.Error(), "panic: defect") {
				t.Errorf("the error is %v", err)
			}
			synctest.Wait()
			if len(w.pages.byKey) != 0 {
				t.Errorf("%d pages are left", len(w.pages.byKey))
			}
		})
	}
	var calls atomic.Int64
	fails(func() func(Buffer) []byte { panic("defect") }, halves{&calls})
	fails(rendered(func() []byte { panic("defect") }), halves{&calls})
	fails(rendered(func() []byte { return nil }), broken{})
	if calls.Load() != 0 {
		t.Error("a page that could not be rendered was encoded")
	}
}

type broken struct{}

func (broken) Append([]byte, []byte) []byte { panic(errors.New("defect")) }
