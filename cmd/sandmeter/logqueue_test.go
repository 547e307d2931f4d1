package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

// A reader is an output of a log that blocks unless it is reading. Lines have 1 KiB, so that they
// are easy to count.
type reader struct {
	testkit.Buffer
	reading chan struct{} // closed while the reader reads
	err     atomic.Pointer[error]
}

func newReader() *reader { return &reader{reading: make(chan struct{})} }

func (r *reader) Write(p []byte) (int, error) {
	<-r.reading
	if err := r.err.Load(); err != nil {
		return 0, *err
	}
	return r.Buffer.Write(p)
}

// fail makes writes fail, or succeed again if err is nil.
func (r *reader) fail(err error) {
	if err == nil {
		r.err.Store(nil)
	} else {
		r.err.Store(&err)
	}
}

// lines returns the first letter of each line, and reports without their time.
func (r *reader) lines() string {
	var lines []string
	for line := range strings.Lines(r.String()) {
		if _, record, found := strings.Cut(line, " "); found {
			line = record
		} else {
			line = line[:1]
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	return strings.Join(lines, " ")
}

// newTestQueue returns a queue for a reader.
func newTestQueue(r *reader) (q *logQueue, total *atomic.Int64) {
	total = new(atomic.Int64)
	text := func(out io.Writer) slog.Handler { return slog.NewTextHandler(out, nil) }
	return newLogQueue(r, text, total), total
}

// logLine returns a line of 1 KiB that begins with a letter.
func logLine(letter string) []byte { return []byte(strings.Repeat(letter, 1023) + "\n") }

// room is the number of lines in a full queue, besides the line that is being written.
const room = maxLogQueue / 1024

const droppedLines = `level=WARN msg="Log lines dropped: the output was blocked or failed" dropped=`

// write logs n lines, and returns when the queue is idle.
func write(t *testing.T, q *logQueue, letter string, n int) {
	t.Helper()
	for range n {
		if k, err := q.Write(logLine(letter)); k != 1024 || err != nil {
			t.Fatalf("Write returns %d, %v", k, err)
		}
	}
	synctest.Wait()
}

// TestLogThatIsNotRead: a write never blocks, the queue keeps as many lines as it has room for, and
// one line reports the dropped ones.
func TestLogThatIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		q, total := newTestQueue(r)
		write(t, q, "a", 1) // is being written
		write(t, q, "b", room)
		if got := total.Load(); got != 0 {
			t.Errorf("%d lines are dropped while there is room", got)
		}
		write(t, q, "c", 7)
		if got := total.Load(); got != 7 {
			t.Errorf("%d lines are dropped, want 7", got)
		}
		close(r.reading)
		synctest.Wait()
		write(t, q, "d", 2)
		if !q.close(t.Context()) {
			t.Error("the queue is not written to its end")
		}
		if got, want := r.lines(), "a "+strings.Repeat("b ", room)+droppedLines+"7 d d"; got != want {
			t.Errorf("the log has\n%s\nwant\n%s", got, want)
		}
	})
}

// TestLogOfASlowReader: while the reader lags behind, dropped lines do not have one report each.
func TestLogOfASlowReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		q, total := newTestQueue(r)
		write(t, q, "a", 1) // is being written
		write(t, q, "a", room+1)
		for range room { // the reader takes one line at a time while more arrive
			r.reading <- struct{}{}
			write(t, q, "b", 1)
		}
		if got, want := total.Load(), int64(1+room); got != want {
			t.Errorf("%d lines are dropped, want %d", got, want)
		}
		close(r.reading)
		q.close(t.Context())
		if got, want := r.lines(), strings.Repeat("a ", 1+room)+droppedLines+"257"; got != want {
			t.Errorf("the log has\n%s\nwant\n%s", got, want)
		}
	})
}

// TestLogThatCannotBeWritten: writes fail, as on a full disk, and succeed later.
func TestLogThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		close(r.reading)
		q, total := newTestQueue(r)
		write(t, q, "a", 1)
		r.fail(errors.New("disk full"))
		write(t, q, "b", 1)
		write(t, q, "c", 3)
		r.fail(nil)
		write(t, q, "d", 1) // dropped and reported
		write(t, q, "e", 1)
		q.close(t.Context())
		if got, want := r.lines(), "a "+droppedLines+"5 e"; got != want || total.Load() != 5 {
			t.Errorf("%d lines are dropped, and the log has\n%s\nwant\n%s", total.Load(), got, want)
		}
	})
}

// TestEndOfALogThatIsNotRead: close does not wait for a blocked reader forever.
func TestEndOfALogThatIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		q, _ := newTestQueue(r)
		write(t, q, "a", 1)
		ctx, cancel := context.WithTimeout(t.Context(), logFlushTime)
		defer cancel()
		if q.close(ctx) {
			t.Error("the queue is written to its end")
		}
		write(t, q, "b", 1) // too late
		close(r.reading)
		<-q.ended
		if got, want := r.lines(), "a "+droppedLines+"1"; got != want {
			t.Errorf("the log has %s, want %s", got, want)
		}
	})
}

// TestLastDroppedLines: lines dropped last are reported at the end if the output accepts a line
// then.
func TestLastDroppedLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		close(r.reading)
		q, _ := newTestQueue(r)
		r.fail(errors.New("disk full"))
		write(t, q, "a", 1)
		r.fail(nil)
		q.close(t.Context())
		if got, want := r.lines(), droppedLines+"1"; got != want {
			t.Errorf("the log has %s, want %s", got, want)
		}
	})
}

// TestReportOfDroppedLines: the report has the format of the log, at every log level.
func TestReportOfDroppedLines(t *testing.T) {
	check := func(format, want string) {
		t.Helper()
		var out bytes.Buffer
		l := newServerLog(&out, format)
		out.Write(l.stderr.report(3))
		l.close()
		if !strings.Contains(out.String(), want) || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%s: the report is %s", format, out.String())
		}
	}
	check(formatText, droppedLines+"3\n")
	check(formatJSON, `"msg":"Log lines dropped: the output was blocked or failed","dropped":3}`)
	check(formatJSONK8s, `"log":"Log lines dropped: the output was blocked or failed","dropped":3}`)
}
