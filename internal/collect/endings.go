package collect

import "sync"

// endings are the lives whose ends have been observed and are not closed yet: their outcome is
// not known, or nobody had the time. It is safe for concurrent use, and its lock is taken last, so
// ends can be added wherever they are observed.
type endings struct {
	mu    sync.Mutex
	open  []*life // in the order in which their ends were observed
	awake chan struct{}
}

func newEndings() *endings { return &endings{awake: make(chan struct{}, 1)} }

// add adds a sandbox whose end was observed.
func (e *endings) add(l *life) {
	e.mu.Lock()
	e.open = append(e.open, l)
	e.mu.Unlock()
	e.wake()
}

// wake makes the goroutine that attends to ends look. It does not block.
func (e *endings) wake() {
	select {
	case e.awake <- struct{}{}:
	default:
	}
}

// take removes all sandboxes and returns them.
func (e *endings) take() []*life {
	e.mu.Lock()
	defer e.mu.Unlock()
	open := e.open
	e.open = nil
	return open
}

// putBack adds sandboxes again that cannot be closed yet, before those that have come since.
func (e *endings) putBack(waiting []*life) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.open = append(waiting, e.open...)
}
