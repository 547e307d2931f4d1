package main

import (
	"bytes"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

// A reader is an output of a log that blocks unless it is reading.
type reader struct {
	testkit.Buffer
	reading chan struct{} // closed while the reader reads
	failing atomic.Bool
}

func newReader() *reader { return &reader{reading: make(chan struct{})} }

func (r *reader) Write(p []byte) (int, error) {
	<-r.reading
	if r.failing.Load() {
		return 0, errors.New("disk full")
	}
	return r.Buffer.Write(p)
}

const droppedLines = `level=WARN msg="Log lines dropped: the output was blocked or failed" dropped=`

// records returns the lines of a log, without their time.
func (r *reader) records() string {
	var records []string
	for line := range strings.Lines(r.String()) {
		_, record, _ := strings.Cut(strings.TrimSpace(line), " ")
		records = append(records, record)
	}
	return strings.Join(records, "\n")
}

// TestLogThatIsNotRead: logging never blocks, and one line reports the lines that did not fit.
func TestLogThatIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		l := newServerLog(r, formatText)
		l.toStderr(0)
		l.Info(strings.Repeat("a", maxLogQueue/2))
		synctest.Wait() // it is being written
		l.Info("b")
		l.Info(strings.Repeat("c", maxLogQueue))
		l.Info(strings.Repeat("d", maxLogQueue))
		if got := l.dropped(); got != 2 {
			t.Errorf("%d lines are dropped, want 2", got)
		}
		close(r.reading)
		l.close()
		if _, got, _ := strings.Cut(r.records(), "\n"); got != "level=INFO msg=b\n"+droppedLines+"2" {
			t.Errorf("the log ends with\n%s", got)
		}
	})
}

// TestLogThatCannotBeWritten: writes fail, as on a full disk, and succeed later.
func TestLogThatCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		close(r.reading)
		l := newServerLog(r, formatText)
		l.toStderr(0)
		for _, failing := range []bool{false, true, true, false} {
			r.failing.Store(failing)
			l.Info("a")
			synctest.Wait()
		}
		l.close()
		const line = "level=INFO msg=a\n"
		if got := r.records(); got != line+line+droppedLines+"2" || l.dropped() != 2 {
			t.Errorf("%d lines are dropped, and the log has\n%s", l.dropped(), got)
		}
	})
}

// TestEndOfALogThatIsNotRead: close does not wait for a blocked reader forever.
func TestEndOfALogThatIsNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReader()
		l := newServerLog(r, formatText)
		l.toStderr(0)
		l.Info("a")
		l.close()
		if got := l.dropped(); got != 1 {
			t.Errorf("%d lines are dropped, want 1", got)
		}
		close(r.reading)
	})
}

// TestReportOfDroppedLines: the report has the format of the log, at every log level.
func TestReportOfDroppedLines(t *testing.T) {
	check := func(format, want string) {
		t.Helper()
		r := newReader()
		r.failing.Store(true)
		close(r.reading)
		synctest.Test(t, func(t *testing.T) {
			l := newServerLog(r, format)
			_, _ = l.stderr.Write([]byte("a\n"))
			synctest.Wait()
			r.failing.Store(false)
			_, _ = l.stderr.Write([]byte("b\n"))
			l.close()
		})
		if got := r.String(); !strings.Contains(got, want) || bytes.Count([]byte(got), []byte("\n")) != 2 {
			t.Errorf("%s: the log is %s", format, got)
		}
	}
	check(formatText, droppedLines+"1\n")
	check(formatJSON, `"msg":"Log lines dropped: the output was blocked or failed","dropped":1}`)
	check(formatJSONK8s, `"log":"Log lines dropped: the output was blocked or failed","dropped":1}`)
}
