package guard

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandmeter/sandmeter/internal/clock"
)

const limit = time.Second

// hangs is a function that does not return before release for some paths.
type hangs struct {
	release chan struct{}

	mu    sync.Mutex
	hung  []string
	calls []string
}

func (h *hangs) call(path string) string {
	h.mu.Lock()
	h.calls = append(h.calls, path)
	hung := slices.Contains(h.hung, path)
	h.mu.Unlock()
	if hung {
		<-h.release
	}
	return path
}

// set makes calls for paths hang, and forgets earlier calls.
func (h *hangs) set(paths ...string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hung, h.calls = paths, nil
}

// count returns the number of calls since.
func (h *hangs) count() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.calls)
}

// each calls h for paths, and returns the paths with results.
func each(g *Guard, h *hangs, paths ...string) string {
	results := Each(g, limit, paths, func(i int, _ Progress) string { return h.call(paths[i]) })
	var done []string
	for _, i := range slices.Sorted(maps.Keys(results)) {
		done = append(done, results[i])
	}
	return strings.Join(done, " ")
}

// TestEach: a call that hangs takes its limit once, and nothing from the others. No other call for the
// path begins until it returns.
func TestEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, h := New(clock.Real), &hangs{release: make(chan struct{})}
		expect := func(what, want string, wantTime time.Duration, wantCalls int) {
			t.Helper()
			began := time.Now()
			got := each(g, h, "a", "b", "c", "d")
			if took := time.Since(began); got != want || took < wantTime || took > wantTime*5/4 || h.count() != wantCalls {
				t.Errorf("%s: results of %q after %v and %d calls, want %q after %v", what, got, took, h.count(), want, wantTime)
			}
		}
		expect("nothing hangs", "a b c d", 0, 4)
		h.set("b", "c")
		expect("two hang", "a d", 2*limit, 4)
		h.set("b", "c")
		expect("they still hang", "a d", 0, 2)
		if !g.Hung("b") || g.Hung("a") {
			t.Errorf("b hangs: %t, and a: %t", g.Hung("b"), g.Hung("a"))
		}
		h.set()
		close(h.release)
		synctest.Wait()
		expect("they answer", "a b c d", 0, 4)
	})
}

// TestSlow: calls may take long as long as they make progress.
func TestSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(clock.Real)
		paths := strings.Fields("a b c d e f")
		results := Each(g, limit, paths, func(i int, alive Progress) int {
			for range i {
				time.Sleep(limit * 3 / 4)
				alive()
			}
			return i
		})
		if len(results) != len(paths) {
			t.Errorf("%d results", len(results))
		}
	})
}

// TestOneAtATime: a call for a path waits for the one under way.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(clock.Real)
		var order []string
		go g.Do("a", time.Minute, func() {
			time.Sleep(time.Second)
			order = append(order, "first")
		})
		synctest.Wait()
		if !g.Do("a", time.Minute, func() { order = append(order, "second") }) {
			t.Error("the second call hangs")
		}
		if got := fmt.Sprint(order); got != "[first second]" {
			t.Errorf("the order is %s", got)
		}
		if g.Do("a", time.Second, func() { time.Sleep(time.Hour) }) {
			t.Error("a call of an hour has returned")
		}
		time.Sleep(time.Hour)
	})
}

// TestOthersProgress: a call that waits for another one of its path, which takes long, does not make the path
// hang.
func TestOthersProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(clock.Real)
		go Each(g, limit, []string{"a"}, func(_ int, alive Progress) int {
			for range 20 {
				time.Sleep(limit / 2)
				alive()
			}
			return 0
		})
		synctest.Wait()
		if g.Do("a", limit, func() {}) || g.Hung("a") {
			t.Error("the second call was made, or the path hangs")
		}
		time.Sleep(time.Minute)
	})
}

// TestPanic: a panic reaches the caller, and the path is free.
func TestPanic(t *testing.T) {
	g := New(clock.Real)
	func() {
		defer func() {
			if recover() != "a defect" {
				t.Error("no panic")
			}
		}()
		g.Do("a", limit, func() { panic("a defect") })
	}()
	if !g.Do("a", limit, func() {}) {
		t.Error("the path hangs")
	}
}

func BenchmarkEach(b *testing.B) {
	g := New(clock.Real)
	paths := make([]string, 500)
	for i := range paths {
		paths[i] = fmt.Sprint("/run/", i)
	}
	b.ReportAllocs()
	for b.Loop() {
		Each(g, limit, paths, func(i int, _ Progress) int { return i })
	}
}
