package records

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of the queue, and of the time that Close takes.
const (
	maxQueued = 4096     // records
	maxQueue  = 16 << 20 // bytes of records
	// FlushTime is how long Close waits at most for the last records to be written.
	FlushTime = 2 * time.Second
)

// Stdout is the path that stands for standard output.
const Stdout = "-"

// Options configure a Writer.
type Options struct {
	// Path is a regular file, which is created if it does not exist, a FIFO, or Stdout. Lines are
	// appended. The directory must exist.
	Path string
	// MaxSize is the size in bytes that a regular file does not exceed. Before it would, it is renamed
	// to Path.1, which replaces an earlier one, and a new file is begun. 0: no limit.
	MaxSize int64
	// Logger logs what fails, once until it works again. Its handler must not block.
	Logger *slog.Logger
}

// An output takes whole lines. Only one goroutine calls its methods, except for abort.
type output interface {
	write(line []byte) error
	close() error
	abort() // makes a write that blocks fail, if possible; for another goroutine
}

// A Writer appends records to a file. Its methods are safe for concurrent use.
//
// Only Close waits: a queue has a goroutine of its own, which writes the records in the order of
// Add, with one call per line. A record is dropped and counted if the queue is full, or if it
// cannot be written at the first attempt. Written records are with the kernel, and not synced to
// disk.
type Writer struct {
	path  string
	log   *slog.Logger
	out   output
	ended chan struct{} // closed when the goroutine has ended

	written, dropped atomic.Int64

	mu        sync.Mutex // never held while a line is written, which can block forever
	changed   sync.Cond  // wakes the goroutine
	lines     [][]byte
	size      int  // bytes in lines
	writing   bool // a line that is not in lines any more
	closed    bool
	abandoned bool  // Close has given up
	troubled  bool  // records were dropped, and the queue has not been written to its end since
	lost      int64 // records dropped since then
}

// New opens the file and returns a Writer. The caller closes it.
func New(o Options) (*Writer, error) {
	if o.Path == Stdout {
		return newWriter(o, &stream{w: os.Stdout}), nil
	}
	f, err := openFile(o.Path, o.MaxSize)
	if err != nil {
		return nil, err
	}
	return newWriter(o, f), nil
}

func newWriter(o Options, out output) *Writer {
	w := &Writer{path: o.Path, log: o.Logger, out: out, ended: make(chan struct{})}
	w.changed.L = &w.mu
	go w.run()
	return w
}

// Written returns how many records were written.
func (w *Writer) Written() int64 { return w.written.Load() }

// Dropped returns how many records were dropped.
func (w *Writer) Dropped() int64 { return w.dropped.Load() }

var errFull = errors.New("the queue is full: the reader or the disk is too slow")

// Add queues a record, or drops it if the queue is full or the Writer closed. It never waits for
// the file.
func (w *Writer) Add(r Record) {
	line := r.Line()
	w.mu.Lock()
	fits := !w.closed && len(w.lines) < maxQueued && w.size+len(line) <= maxQueue
	first := false
	if fits {
		w.lines = append(w.lines, line)
		w.size += len(line)
		w.changed.Signal()
	} else {
		first = w.drop(1) && !w.closed
	}
	w.mu.Unlock()
	if first {
		w.complain(errFull)
	}
}

// drop counts dropped records, and reports whether they are the first ones since the last trouble.
// The caller holds mu.
func (w *Writer) drop(n int) (first bool) {
	w.dropped.Add(int64(n))
	w.lost += int64(n)
	first = !w.troubled
	w.troubled = true
	return first
}

func (w *Writer) complain(err error) {
	w.log.Error("Final records dropped until the file can be written again", "path", w.path, "err", err)
}

// run writes records until the Writer is closed and its queue empty.
func (w *Writer) run() {
	defer close(w.ended)
	for line := w.next(); line != nil; line = w.next() {
		w.wrote(w.out.write(line))
	}
	if err := w.out.close(); err != nil && !errors.Is(err, os.ErrClosed) {
		w.log.Error("Final records file not closed: the last records may be lost", "path", w.path, "err", err)
	}
}

// next waits for a line to write. It is nil at the end.
func (w *Writer) next() (line []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.lines) == 0 && !w.closed {
		w.changed.Wait()
	}
	if len(w.lines) == 0 {
		return nil
	}
	line, w.lines[0] = w.lines[0], nil
	w.lines = w.lines[1:]
	w.size -= len(line)
	w.writing = true
	return line
}

// wrote counts the line that was being written, and logs the first failure, or the end of one.
func (w *Writer) wrote(err error) {
	first, lost := w.count(err)
	switch {
	case first:
		w.complain(err)
	case lost > 0:
		w.log.Info("Final records are written again", "path", w.path, "dropped", lost)
	}
}

// count counts the line that was being written. lost is the number of dropped records if the
// trouble is over: a reader that is always slow gets one pair of log lines per full queue.
func (w *Writer) count(err error) (first bool, lost int64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writing = false
	if w.abandoned {
		return false, 0 // Close has counted it
	}
	if err != nil {
		return w.drop(1), 0
	}
	w.written.Add(1)
	if w.troubled && len(w.lines) == 0 {
		lost, w.lost, w.troubled = w.lost, 0, false
	}
	return false, lost
}

// Close stops taking records, writes those in the queue, and closes the file. It gives up after
// FlushTime, drops and counts the rest, and logs that. Then the line that is being written may be
// cut and, if the output is standard output, its goroutine remains until the output takes the line
// or the process ends. A second call does nothing.
func (w *Writer) Close() {
	w.mu.Lock()
	w.closed = true
	w.changed.Signal()
	w.mu.Unlock()
	limit := time.NewTimer(FlushTime)
	defer limit.Stop()
	select {
	case <-w.ended:
	case <-limit.C:
		n := w.abandon()
		w.out.abort()
		w.log.Error("Final records dropped at the end: the file could not be written in time", "path", w.path, "dropped", n)
	}
}

// abandon drops what is not written yet, and returns how many records that are.
func (w *Writer) abandon() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := len(w.lines)
	if w.writing && !w.abandoned {
		n++
	}
	w.abandoned = true
	w.lines, w.size = nil, 0
	w.drop(n)
	return n
}

// A stream is an output that cannot be opened again.
type stream struct {
	w    io.Writer
	torn bool // the last line has no end
}

func (s *stream) write(line []byte) error {
	n, err := s.w.Write(begun(line, s.torn))
	s.torn = err != nil && (n > 0 || s.torn)
	return err
}

func (s *stream) close() error { return nil } // others may use it
func (s *stream) abort()       {}

// begun returns the line, after the end of a torn one.
func begun(line []byte, torn bool) []byte {
	if !torn {
		return line
	}
	return append([]byte{'\n'}, line...)
}
