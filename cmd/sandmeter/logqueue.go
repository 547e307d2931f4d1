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
	// maxLogQueue is how many bytes of lines a queue holds: a thousand lines or two.
	maxLogQueue = 256 << 10
	// logFlushTime is how long a server that ends waits for the last lines to be written.
	logFlushTime = 2 * time.Second
)

// A logQueue is the writer of one output of the log. Write never waits: the program that reads the output may be slow, or may not read at
// all, and the goroutine that logs holds up scrapes, or the end of the server. So a goroutine of the queue's own writes the lines, one
// call each, in the order in which they came.
//
// Lines that the queue has no room for are dropped, and so are lines that cannot be written. From the first line that is dropped, all are,
// until the output has taken those before it. Then one line says how many were dropped: it stands where they are missing, and a reader
// who is always behind gets one per queue rather than one per line.
//
// It is safe for concurrent use.
type logQueue struct {
	out    io.Writer
	report func(dropped int) []byte // returns the line about dropped lines
	total  *atomic.Int64            // dropped lines of all queues of the server
	ended  chan struct{}            // closed when no more is written

	mu      sync.Mutex // never held while a line is written, which can take forever
	changed sync.Cond  // for the goroutine that writes: there is something to do
	lines   [][]byte
	size    int  // bytes in lines
	dropped int  // lines that the log does not report yet
	failing bool // the last write failed: nothing is tried again before there is another line
	closed  bool
}

// newLogQueue returns a queue for out, whose dropped lines are added to total. They are reported with the handler that newHandler makes.
// The caller closes the queue.
func newLogQueue(out io.Writer, newHandler func(io.Writer) slog.Handler, total *atomic.Int64) *logQueue {
	q := &logQueue{out: out, report: reporter(newHandler), total: total, ended: make(chan struct{})}
	q.changed.L = &q.mu
	go q.writeLines()
	return q
}

// reporter returns a function that makes a line about dropped lines. It is written whatever the level of the log is: it stands for lines
// of any level.
func reporter(newHandler func(io.Writer) slog.Handler) func(int) []byte {
	return func(dropped int) []byte {
		var line bytes.Buffer
		record := slog.NewRecord(time.Now(), slog.LevelWarn, "Log lines were dropped: the log was not read, or could not be written", 0)
		record.AddAttrs(slog.Int("dropped", dropped))
		_ = newHandler(&line).Handle(context.Background(), record) // a buffer takes everything
		return line.Bytes()
	}
}

// Write puts a line into the queue, or drops it. It returns no error.
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

// drop counts a line that is dropped. The caller holds mu.
func (q *logQueue) drop() {
	q.dropped++
	q.total.Add(1)
}

// writeLines writes what is in the queue until it is closed and empty.
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

// next waits for the next line to write. If that is the report about dropped lines, reported is their number. It returns false when there
// will be no more.
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

// failed records that a line could not be written: the report about so many lines or, if that is 0, another one.
func (q *logQueue) failed(reported int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failing = true
	if reported == 0 {
		q.drop()
	}
	q.dropped += reported
}

// close takes no more lines, and waits until what is in the queue is written or ctx is done. It returns false in the latter case: then the
// goroutine that writes goes on until the output takes the line or the process ends.
func (q *logQueue) close(ctx context.Context) (written bool) {
	q.mu.Lock()
	q.closed = true
	q.failing = false // a last try
	q.changed.Signal()
	q.mu.Unlock()
	select {
	case <-q.ended:
		return true
	case <-ctx.Done():
		return false
	}
}
