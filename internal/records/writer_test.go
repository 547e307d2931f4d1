package records

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

// A gate is an output that takes a line only when the test lets it.
type gate struct {
	pass    chan struct{} // a line passes for each value, or all after it is closed
	aborted chan struct{}

	mu     sync.Mutex
	err    error // of the next calls
	lines  []string
	closed int
}

func newGate() *gate { return &gate{pass: make(chan struct{}), aborted: make(chan struct{})} }

func (g *gate) write(line []byte) error {
	select {
	case <-g.pass:
	case <-g.aborted:
		return errors.New("aborted")
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.err == nil {
		g.lines = append(g.lines, string(line))
	}
	return g.err
}

func (g *gate) close() error { g.closed++; return nil }
func (g *gate) abort()       { close(g.aborted) }

// fail makes the next calls fail, or succeed if err is nil.
func (g *gate) fail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.err = err
}

// A writerTest is a Writer with a gate, and its log.
type writerTest struct {
	*testing.T
	*Writer
	gate *gate
	log  testkit.Buffer
}

// withGate runs a test whose clock only moves when everything waits.
func withGate(t *testing.T, do func(*writerTest)) {
	synctest.Test(t, func(t *testing.T) {
		w := &writerTest{T: t, gate: newGate()}
		w.Writer = newWriter(Options{Path: "/f", Logger: logger(&w.log)}, w.gate)
		do(w)
	})
}

// logger returns a logger whose lines have no time.
func logger(b *testkit.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}))
}

// add adds n small records, and returns when nothing moves.
func (w *writerTest) add(n int) {
	for i := range n {
		w.Add(Record{ID: fmt.Sprint(i)})
	}
	synctest.Wait()
}

func (w *writerTest) counts(written, dropped int64) {
	w.Helper()
	if w.Written() != written || w.Dropped() != dropped {
		w.Errorf("%d records are written and %d dropped, want %d and %d", w.Written(), w.Dropped(), written, dropped)
	}
}

func (w *writerTest) logs(lines ...string) {
	w.Helper()
	want := strings.Join(append(lines, ""), "\n")
	if got := w.log.String(); got != want {
		w.Errorf("the log is\n%swant\n%s", got, want)
	}
}

const (
	diskFull   = `level=ERROR msg="Final records dropped until the file can be written again" path=/f err="disk full"`
	worksAgain = `level=INFO msg="Final records are written again" path=/f dropped=`
)

// TestFailure: a failure is logged once until it is over, and each failed record is counted.
func TestFailure(t *testing.T) {
	withGate(t, func(w *writerTest) {
		close(w.gate.pass)
		w.add(1)
		w.gate.fail(errors.New("disk full"))
		w.add(3)
		w.logs(diskFull)
		w.gate.fail(nil)
		w.add(1)
		w.counts(2, 3)
		w.logs(diskFull, worksAgain+"3")
		w.gate.fail(errors.New("disk full"))
		w.add(1)
		w.Close()
		w.counts(2, 4)
		w.logs(diskFull, worksAgain+"3", diskFull)
	})
}

// TestFull: records that the queue has no room for are dropped.
func TestFull(t *testing.T) {
	withGate(t, func(w *writerTest) {
		w.add(1) // is being written
		w.add(maxQueued + 3)
		w.counts(0, 3)
		close(w.gate.pass)
		w.Close()
		w.counts(1+maxQueued, 3)
	})
	withGate(t, func(w *writerTest) {
		w.add(1)
		w.Queue.Add(make([]byte, maxQueue))
		w.add(1)
		w.counts(0, 1)
		close(w.gate.pass)
		w.Close()
	})
}

// TestClose: Close writes the queue, in order, and closes the output once. Later records are
// dropped.
func TestClose(t *testing.T) {
	withGate(t, func(w *writerTest) {
		w.add(100)
		go close(w.gate.pass)
		w.Close()
		w.counts(100, 0)
		for i, line := range w.gate.lines {
			var r Record
			if err := json.Unmarshal([]byte(line), &r); err != nil || r.ID != fmt.Sprint(i) {
				t.Errorf("line %d is %s", i, line)
			}
		}
		w.add(1)
		w.Close()
		w.counts(100, 1)
		if w.gate.closed != 1 {
			t.Errorf("the output is closed %d times", w.gate.closed)
		}
		w.logs()
	})
}

// TestCloseOfABlockedOutput: Close waits FlushTime and no longer, counts what it gives up, and
// makes the goroutine end.
func TestCloseOfABlockedOutput(t *testing.T) {
	withGate(t, func(w *writerTest) {
		w.add(1)
		w.gate.pass <- struct{}{}
		synctest.Wait()
		w.add(10)
		began := time.Now()
		w.Close()
		if waited := time.Since(began); waited != FlushTime {
			t.Errorf("Close takes %v, want %v", waited, FlushTime)
		}
		synctest.Wait()
		w.counts(1, 10)
		w.logs(`level=ERROR msg="Final records dropped at the end: the file could not be written in time" path=/f dropped=10`)
	})
}

// TestStandardOutput: it is not closed. After a line that was cut, the next one
// begins on a line of its own.
func TestStandardOutput(t *testing.T) {
	var out cutter
	w := newWriter(Options{Path: Stdout, Logger: slog.New(slog.DiscardHandler)}, &stream{w: &out})
	out.cut = 5
	w.Add(Record{ID: "a"})
	w.Add(Record{ID: "b"})
	w.Close()
	if want := `{"ver` + "\n" + string(Record{ID: "b"}.Line()); out.String() != want || w.Written() != 1 || w.Dropped() != 1 {
		t.Errorf("the output is\n%s\nwant\n%s", out.String(), want)
	}
}

// A cutter takes only the first bytes of the first write.
type cutter struct {
	testkit.Buffer
	cut int
}

func (c *cutter) Write(p []byte) (int, error) {
	if c.cut == 0 {
		return c.Buffer.Write(p)
	}
	n, _ := c.Buffer.Write(p[:c.cut])
	c.cut = 0
	return n, errors.New("cut")
}
