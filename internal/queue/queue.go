// Package queue writes lines for goroutines that must not wait. The reader of an output may be slow or
// hang, and a disk may be full; the goroutine that logs or records may serve a scrape or shut the server
// down.
package queue

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// Options configure a Queue. All functions are called on the Queue's goroutine unless they say otherwise.
type Options struct {
	MaxLines, MaxBytes int // of the queue

	// Write writes a line, with one call per line.
	Write func(line []byte) error
	// Failed is called for the first line that is dropped, until Recovered. It may be called on the
	// goroutine of Add, and must not block.
	Failed func(err error)
	// Recovered is called when the queue is empty and its last line was written, with the number of
	// lines that were dropped since the last call. An error means that it is to be called again.
	Recovered func(dropped int64) error
	// Ended is called once, after the last line.
	Ended func()
}

// A Queue has a goroutine of its own, which writes lines in the order of Add. A line is dropped and
// counted if the queue is full, or if it cannot be written at the first attempt. A reader that is always
// slow causes one pair of Failed and Recovered per full queue. Its methods are safe for concurrent use.
type Queue struct {
	options          Options
	ended            chan struct{} // closed when the goroutine has ended
	written, dropped atomic.Int64

	mu        sync.Mutex // never held while a line is written, which can block forever
	changed   sync.Cond  // wakes the goroutine
	lines     [][]byte
	size      int  // bytes in lines
	writing   bool // a line that is not in lines any more
	closed    bool
	abandoned bool  // Close has given up
	troubled  bool  // lines were dropped, and Recovered has not been called since
	lost      int64 // lines dropped since then
}

// New returns a Queue. The caller closes it.
func New(o Options) *Queue {
	q := &Queue{options: o, ended: make(chan struct{})}
	q.changed.L = &q.mu
	go q.run()
	return q
}

// Written returns how many lines were written.
func (q *Queue) Written() int64 { return q.written.Load() }

// Dropped returns how many lines were dropped.
func (q *Queue) Dropped() int64 { return q.dropped.Load() }

var errFull = errors.New("the queue is full: the reader or the disk is too slow")

// Add queues a line, which belongs to the Queue from then on, or drops it if the queue is full or closed.
// It never waits for the output.
func (q *Queue) Add(line []byte) {
	q.mu.Lock()
	fits := !q.closed && len(q.lines) < q.options.MaxLines && q.size+len(line) <= q.options.MaxBytes
	first := false
	if fits {
		q.lines = append(q.lines, line)
		q.size += len(line)
		q.changed.Signal()
	} else {
		first = q.drop(1) && !q.closed
	}
	q.mu.Unlock()
	if first {
		q.options.Failed(errFull)
	}
}

// drop counts dropped lines, and reports whether they are the first ones since the last trouble.
// The caller holds mu.
func (q *Queue) drop(n int) (first bool) {
	q.dropped.Add(int64(n))
	q.lost += int64(n)
	first = !q.troubled
	q.troubled = true
	return first
}

// run writes lines until the Queue is closed and empty.
func (q *Queue) run() {
	defer close(q.ended)
	defer q.options.Ended()
	for line := q.next(); line != nil; line = q.next() {
		q.wrote(q.options.Write(line))
	}
}

// next waits for a line to write. It is nil at the end.
func (q *Queue) next() (line []byte) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.lines) == 0 && !q.closed {
		q.changed.Wait()
	}
	if len(q.lines) == 0 {
		return nil
	}
	line, q.lines[0] = q.lines[0], nil
	q.lines = q.lines[1:]
	q.size -= len(line)
	q.writing = true
	return line
}

// wrote counts the line that was being written, and tells of the first failure, or the end of one.
func (q *Queue) wrote(err error) {
	first, lost := q.count(err)
	switch {
	case first:
		q.options.Failed(err)
	case lost > 0 && q.options.Recovered(lost) != nil:
		q.mu.Lock()
		defer q.mu.Unlock()
		q.lost += lost
		q.troubled = true
	}
}

// count counts the line that was being written. lost is the number of dropped lines if the trouble is
// over.
func (q *Queue) count(err error) (first bool, lost int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.writing = false
	if q.abandoned {
		return false, 0 // Close has counted it
	}
	if err != nil {
		return q.drop(1), 0
	}
	q.written.Add(1)
	if q.troubled && len(q.lines) == 0 {
		lost, q.lost, q.troubled = q.lost, 0, false
	}
	return false, lost
}

// Close stops taking lines, and waits until the queue is written and Ended has returned. When ctx is
// done, it gives up, and drops and counts the rest, which it returns; the line that is being written may
// be cut, and the goroutine remains until Write returns. A second call does nothing.
func (q *Queue) Close(ctx context.Context) (left int) {
	q.mu.Lock()
	q.closed = true
	q.changed.Signal()
	q.mu.Unlock()
	select {
	case <-q.ended:
		return 0
	case <-ctx.Done():
		return q.abandon()
	}
}

// abandon drops what is not written yet, and returns how many lines that are.
func (q *Queue) abandon() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := len(q.lines)
	if q.writing && !q.abandoned {
		n++
	}
	q.abandoned = true
	q.lines, q.size = nil, 0
	q.drop(n)
	return n
}
