package records

import (
	"errors"
	"io"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

func logger(b *testkit.Buffer) *slog.Logger { return slog.New(slog.NewTextHandler(b, nil)) }

// TestFull: records that the queue has no room for are dropped. Close waits FlushTime for the others, and
// drops them if the file does not take them.
func TestFull(t *testing.T) {
	check := func(fill func(w *Writer), dropped int64, read bool) {
		t.Helper()
		d := newDir(t)
		path := d.fifo()
		w, err := New(Options{Path: path, Logger: logger(&d.log)})
		d.must(err)
		reader, err := os.Open(path)
		d.must(err)
		defer reader.Close()
		w.Queue.Add(make([]byte, maxQueue))
		testkit.Until(t, "the first line is being written", func() bool {
			n, err := unix.IoctlGetInt(int(reader.Fd()), unix.TIOCINQ)
			d.must(err)
			return n > 0
		})
		fill(w)
		if w.Written() != 0 || w.Dropped() != dropped {
			t.Errorf("%d records are written and %d dropped, want %d", w.Written(), w.Dropped(), dropped)
		}
		if read {
			go io.Copy(io.Discard, reader)
		}
		began := time.Now()
		w.Close()
		if late := strings.Contains(d.log.String(), "Final records dropped at the end"); late == read || !read && time.Since(began) < FlushTime {
			t.Errorf("Close takes %v, and the log is\n%s", time.Since(began), d.log.String())
		}
		if err := w.out.write([]byte("x")); !errors.Is(err, os.ErrClosed) {
			t.Errorf("after Close, a write has error %v", err)
		}
	}
	check(func(w *Writer) {
		for range maxQueued + 3 {
			w.Add(Record{})
		}
	}, 3, true)
	check(func(w *Writer) {
		w.Queue.Add(make([]byte, maxQueue))
		w.Add(Record{})
	}, 1, false)
}
