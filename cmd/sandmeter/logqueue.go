package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// maxLogQueue is the size of a queue in bytes: room for one or two thousand lines.
	maxLogQueue = 256 << 10
	// logFlushTime is how long a server waits at its end for the last lines to be written.
	logFlushTime = 2 * time.Second
)

// A logQueue is the writer of one output of the log. Write never blocks: the program that reads the
// output may be slow or hang, and the goroutine that logs may serve a scrape or shut the server
// down. So the queue has a goroutine of its own, which writes the lines in order, with one call per
// line.
//
// Lines are dropped if the queue is full or the output fails. After the first dropped line, all
// lines are dropped until the queue is empty. Then one line reports how many were dropped. It
// stands at the place of the missing lines, and a reader that is always slow gets one such line per
// full queue, not one per dropped line.
//
// It is safe for concurrent use.
type logQueue struct {
	out    io.Writer
	report func(dropped int) []byte // returns the line that reports dropped lines
	total  *atomic.Int64            // dropped lines of all queues of the server
	ended  chan struct{}            // closed when the goroutine has ended

	mu      sync.Mutex // never held while a line is written, which can block forever
	changed sync.Cond  // wakes the goroutine that writes
	lines   [][]byte
	size    int  // bytes in lines
	dropped int  // lines that are not reported yet
	failing bool // the last write failed: the next line triggers a retry
	closed  bool
}

// newLogQueue returns a queue for out. Dropped lines are added to total, and reported with the
// handler that newHandler returns. The caller closes the queue.
func newLogQueue(out io.Writer, newHandler func(io.Writer) slog.Handler, total *atomic.Int64) *logQueue {
	q := &logQueue{out: out, report: reporter(newHandler), total: total, ended: make(chan struct{})}
	q.changed.L = &q.mu
	go q.writeLines()
	return q
}

// reporter returns a function that formats the report of dropped lines. The report does not depend
// on the level of the log, because it replaces lines of any level.
func reporter(newHandler func(io.Writer) slog.Handler) func(int) []byte {
	return func(dropped int) []byte {
		var line bytes.Buffer
		record := slog.NewRecord(time.Now(), slog.LevelWarn, "Log lines dropped: the output was blocked or failed", 0)
		record.AddAttrs(slog.Int("dropped", dropped))
		_ = newHandler(&line).Handle(context.Background(), record) // a buffer never fails
		return line.Bytes()
	}
}

// Write queues a line, or drops it. It never returns an error.
func (q *logQueue) Write(line []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed || q.dropped > 0 || q.size+len(line) > maxLogQueue {
		q.drop()
	} else {
		q.lines = append(q.lines, bytes.Clone(line))
		q.size += len(line)
	}
	q.failing = false
	q.changed.Signal()
	return len(line), nil
}

// drop counts a dropped line. The caller holds mu.
func (q *logQueue) drop() {
	q.dropped++
	q.total.Add(1)
}

// writeLines writes lines until the queue is closed and empty.
func (q *logQueue) writeLines() {
	defer close(q.ended)
	for {
		line, reported, ok := q.next()
		if !ok {
			return
		}
		if _, err := q.out.Write(line); err != nil {
			q.failed(reported)
		}
	}
}

// next waits for the next line to write. If the line reports dropped lines, reported is their
// number. It returns false when the queue is closed and empty.
func (q *logQueue) next() (line []byte, reported int, ok bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.lines) == 0 && (q.dropped == 0 || q.failing) {
		if q.closed {
			return nil, 0, false
		}
		q.changed.Wait()
	}
	if len(q.lines) > 0 {
		line, q.lines[0] = q.lines[0], nil
		q.lines = q.lines[1:]
		q.size -= len(line)
		return line, 0, true
	}
	reported, q.dropped = q.dropped, 0
	return q.report(reported), reported, true
}

// failed records that a line could not be written: the report of that many dropped lines or, if
// reported is 0, an ordinary line.
func (q *logQueue) failed(reported int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failing = true
	if reported == 0 {
		q.drop()
	}
	q.dropped += reported
}

// close stops taking lines, and waits until the queue is written or ctx is done. In the latter case
// it returns false, and the goroutine that writes goes on until the output takes the line or the
// process ends.
func (q *logQueue) close(ctx context.Context) (written bool) {
	q.mu.Lock()
	q.closed = true
	q.failing = false // retry once more
	q.changed.Signal()
	q.mu.Unlock()
	select {
	case <-q.ended:
		return true
	case <-ctx.Done():
		return false
	}
}
