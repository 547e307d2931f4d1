package main

import (
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

// A reader is an output of a log that blocks unless it is reading.
type reader struct {
	testkit.Buffer
	reading chan struct{} // closed while the reader reads
}

func (r *reader) Write(p []byte) (int, error) {
	<-r.reading
	return r.Buffer.Write(p)
}

// TestLogThatIsNotRead: logging never blocks, and one line reports the lines that did not fit, in the format of
// the log and at every level. Closing waits for a reader, but not forever.
func TestLogThatIsNotRead(t *testing.T) {
	check := func(format, want string) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			r := &reader{reading: make(chan struct{})}
			l := newServerLog(r, format)
			l.toStderr(slog.LevelError)
			l.Error(strings.Repeat("a", maxLogQueue/2))
			synctest.Wait() // it is being written
			l.Error("b")
			l.Error(strings.Repeat("c", maxLogQueue))
			l.Error(strings.Repeat("d", maxLogQueue))
			if got := l.dropped(); got != 2 {
				t.Errorf("%d lines are dropped, want 2", got)
			}
			close(r.reading)
			l.close()
			lines := strings.Split(r.String(), "\n")
			if len(lines) != 4 || !strings.Contains(lines[1], "b") || !strings.Contains(lines[2], want) {
				t.Errorf("%s: after the first line, the log has\n%q", format, lines[1:])
			}

			hung := &reader{reading: make(chan struct{})}
			l = newServerLog(hung, format)
			l.toStderr(slog.LevelError)
			l.Error("a")
			l.close()
			if got := l.dropped(); got != 1 {
				t.Errorf("%d lines are dropped, want 1", got)
			}
			close(hung.reading)
		})
	}
	check(formatText, `level=WARN msg="Log lines dropped: the output was blocked or failed" dropped=2`)
	check(formatJSON, `"msg":"Log lines dropped: the output was blocked or failed","dropped":2}`)
	check(formatJSONK8s, `"log":"Log lines dropped: the output was blocked or failed","dropped":2}`)
}
