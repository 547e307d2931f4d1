package main

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/sandmeter/sandmeter/internal/queue"
)

const (
	// maxLogQueue is the size of a queue in bytes: room for one or two thousand lines.
	maxLogQueue = 256 << 10
	// maxLogLines bounds the memory beside the bytes, if all lines are short.
	maxLogLines = 8 << 10
	// logFlushTime is how long a server waits at its end for the last lines to be written.
	logFlushTime = 2 * time.Second
)

// A logQueue is the writer of one output of the log. Write never blocks. After dropped lines, when the
// queue has been written, one line reports how many they were. It is safe for concurrent use.
type logQueue struct{ *queue.Queue }

// newLogQueue returns a queue for out. ended is called after the last line. Dropped lines are reported
// with the handler that newHandler returns. The caller closes the queue.
func newLogQueue(out io.Writer, ended func(), newHandler func(io.Writer) slog.Handler) logQueue {
	write := func(line []byte) error {
		_, err := out.Write(line)
		return err
	}
	return logQueue{queue.New(queue.Options{
		MaxLines: maxLogLines, MaxBytes: maxLogQueue,
		Write:     write,
		Failed:    func(error) {},
		Recovered: func(dropped int64) error { return write(reportOf(dropped, newHandler)) },
		Ended:     ended,
	})}
}

// reportOf returns the line about dropped lines. It does not depend on the level of the log, because it
// replaces lines of any level.
func reportOf(dropped int64, newHandler func(io.Writer) slog.Handler) []byte {
	var line bytes.Buffer
	record := slog.NewRecord(time.Now(), slog.LevelWarn, "Log lines dropped: the output was blocked or failed", 0)
	record.AddAttrs(slog.Int64("dropped", dropped))
	_ = newHandler(&line).Handle(context.Background(), record) // a buffer never fails
	return line.Bytes()
}

// Write queues a line, or drops it. It never returns an error.
func (q logQueue) Write(line []byte) (int, error) {
	q.Add(bytes.Clone(line))
	return len(line), nil
}
