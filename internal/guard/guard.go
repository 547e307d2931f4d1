// Package guard calls functions that may hang, because they touch a runtime root on a file system that
// does not answer: FUSE with a dead daemon, or NFS without a server. The kernel does not return from such
// a call, and nothing can end it. So it runs on a goroutine that its caller can leave. A path has at most
// one call at a time, and none begins while one hangs.
package guard

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/sandmeter/sandmeter/internal/clock"
)

// A Guard knows the paths with calls under way. It is safe for concurrent use. Goroutines whose calls
// hang are left alone, and end when the kernel returns.
type Guard struct {
	clock clock.Clock
	mu    sync.Mutex
	calls map[string]*call
}

// A call is a call under way.
type call struct {
	over chan struct{} // closed when it has returned; nil: nobody waits
	hung bool
}

// New returns a Guard.
func New(c clock.Clock) *Guard { return &Guard{clock: c, calls: make(map[string]*call)} }

// Hung reports whether a call for the path hangs.
func (g *Guard) Hung(path string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.calls[path]
	return c != nil && c.hung
}

// Do calls f for a path, and reports whether it has returned within the limit. If not, the path hangs
// until f returns, and what f does in the meantime must not be used: it may still be under way.
func (g *Guard) Do(path string, limit time.Duration, f func()) bool {
	return len(Each(g, limit, []string{path}, func(int, Progress) struct{} { f(); return struct{}{} })) == 1
}

// A Progress is called by calls that take long and do not hang. It is safe for concurrent use.
type Progress func()

// Each calls f for each path, by index and in order, and returns the results of calls that have returned
// within the limit, by index. Paths that hang have none. Each call has the limit for itself, and again
// after each Progress. The calls share a goroutine, which costs little; a call that hangs keeps it, and the
// others go on on another. A panic of f is a panic of Each.
func Each[T any](g *Guard, limit time.Duration, paths []string, f func(i int, alive Progress) T) map[int]T {
	results := make(map[int]T, len(paths))
	for next := 0; next < len(paths); {
		w := &worker[T]{guard: g, paths: paths, f: f, mine: new(call), results: results, next: next, ended: make(chan struct{})}
		go w.run()
		next = w.await(limit)
		if w.panicked != nil {
			panic(w.panicked)
		}
	}
	return results
}

// A worker makes calls on its goroutine until one hangs.
type worker[T any] struct {
	guard *Guard
	paths []string
	f     func(i int, alive Progress) T
	mine  *call         // the one under way, if the worker does not wait for another's
	ended chan struct{} // closed when the worker has no call to make any more
	beats atomic.Int64  // of Progress, and ends of calls

	mu       sync.Mutex
	results  map[int]T
	next     int  // index of the call under way, or of the next one
	left     bool // the caller has left
	panicked any
}

// checks is how often await looks at a worker within a limit.
const checks = 4

// await waits until the worker has ended, or has made no progress for the limit. It returns the index of
// the next call for another worker.
func (w *worker[T]) await(limit time.Duration) (next int) {
	idle, last := 0, w.beats.Load()
	for {
		passed, stop := w.guard.clock.Timer(limit / checks)
		select {
		case <-w.ended:
			stop()
			return len(w.paths)
		case <-passed:
		}
		if now := w.beats.Load(); now != last {
			idle, last = 0, now
			continue
		}
		if idle++; idle == checks {
			return w.leave()
		}
	}
}

// leave leaves the worker with its call.
func (w *worker[T]) leave() (next int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.left = true
	if w.next < len(w.paths) {
		w.guard.hang(w.paths[w.next], w.mine)
	}
	return w.next + 1
}

// run makes the calls.
func (w *worker[T]) run() {
	defer close(w.ended)
	defer func() {
		if p := recover(); p != nil {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.panicked = p
		}
	}()
	alive := func() { w.beats.Add(1) }
	for i := w.next; i < len(w.paths); i++ {
		var result T
		called := w.guard.begin(w.paths[i], w.mine)
		if called {
			result = w.call(i, alive)
		}
		if !w.advance(i, result, called) {
			return
		}
	}
}

// advance moves on to the next call. It returns false if the caller has left.
func (w *worker[T]) advance(i int, result T, called bool) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.left {
		return false
	}
	if called {
		w.results[i] = result
	}
	w.next = i + 1
	w.beats.Add(1)
	return true
}

// call makes a call that has begun. The path is free after it, also after a panic.
func (w *worker[T]) call(i int, alive Progress) T {
	defer w.guard.end(w.paths[i], w.mine)
	return w.f(i, alive)
}

// begin makes a call the one for its path when no other one is under way. It returns false if one hangs.
func (g *Guard) begin(path string, mine *call) bool {
	for {
		over, hung := g.tryBegin(path, mine)
		if over == nil {
			return !hung
		}
		<-over
	}
}

// tryBegin makes a call the one for its path, or tells of the one under way: that it hangs, or when it is
// over.
func (g *Guard) tryBegin(path string, mine *call) (over chan struct{}, hung bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	other := g.calls[path]
	switch {
	case other == nil:
		g.calls[path] = mine
		return nil, false
	case other.hung:
		return nil, true
	case other.over == nil:
		other.over = make(chan struct{})
	}
	return other.over, false
}

func (g *Guard) end(path string, mine *call) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.calls[path] != mine {
		return
	}
	delete(g.calls, path)
	if mine.over != nil {
		close(mine.over)
		mine.over = nil
	}
}

// hang takes note that a call for a path hangs, if it is under way.
func (g *Guard) hang(path string, c *call) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c.hung = g.calls[path] == c
}

// Mark makes a path hang because of a call outside of the Guard, until the function is called that it
// returns.
func (g *Guard) Mark(path string) (returned func()) {
	outside := new(call)
	if over, _ := g.tryBegin(path, outside); over != nil {
		return func() {} // the call under way will hang as well
	}
	g.hang(path, outside)
	return func() { g.end(path, outside) }
}
