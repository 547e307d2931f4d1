package records

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"time"

	"github.com/sandmeter/sandmeter/internal/queue"
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

// A Writer appends records to a file. Its methods are safe for concurrent use, and only Close waits. Written
// records are with the kernel, and not synced to disk.
type Writer struct {
	*queue.Queue
	path string
	log  *slog.Logger
	out  *file
}

// New opens the file and returns a Writer. The caller closes it.
func New(o Options) (*Writer, error) {
	out, err := openFile(o.Path, o.MaxSize)
	if err != nil {
		return nil, err
	}
	w := &Writer{path: o.Path, log: o.Logger, out: out}
	w.Queue = queue.New(queue.Options{MaxLines: maxQueued, MaxBytes: maxQueue, Write: out.write, Failed: w.failed, Recovered: w.recovered, Ended: w.ended})
	return w, nil
}

// Add queues a record, or drops it if the queue is full or the Writer closed. It never waits for
// the file.
func (w *Writer) Add(r Record) { w.Queue.Add(r.Line()) }

func (w *Writer) failed(err error) {
	w.log.Error("Final records dropped until the file can be written again", "path", w.path, "err", err)
}

func (w *Writer) recovered(dropped int64) error {
	w.log.Info("Final records are written again", "path", w.path, "dropped", dropped)
	return nil
}

func (w *Writer) ended() {
	if err := w.out.close(); err != nil && !errors.Is(err, os.ErrClosed) {
		w.log.Error("Final records file not closed: the last records may be lost", "path", w.path, "err", err)
	}
}

// Close stops taking records, writes those in the queue, and closes the file. It gives up after
// FlushTime, drops and counts the rest, and logs that. Then the line that is being written may be
// cut and, if the output is standard output, its goroutine remains until the output takes the line
// or the process ends. A second call does nothing.
func (w *Writer) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), FlushTime)
	defer cancel()
	if left := w.Queue.Close(ctx); left > 0 {
		w.out.abort()
		w.log.Error("Final records dropped at the end: the file could not be written in time", "path", w.path, "dropped", left)
	}
}
