package queue

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandmeter/sandmeter/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// A trial is a Queue of five lines or 100 bytes, whose output takes a line only when the test lets it.
type trial struct {
	*testing.T
	*Queue
	pass chan struct{} // a line passes for each value, or all after it is closed

	mu   sync.Mutex
	err  error    // of the next writes and of Recovered
	said []string // what the functions were called with
}

// try runs a test whose clock only moves when everything waits.
func try(t *testing.T, do func(*trial)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		tr := &trial{T: t, pass: make(chan struct{})}
		tr.Queue = New(Options{
			MaxLines: 5, MaxBytes: 100,
			Write: func(line []byte) error {
				<-tr.pass
				return tr.say(string(line), tr.failing())
			},
			Failed:    func(err error) { _ = tr.say("failed: "+err.Error(), nil) },
			Recovered: func(dropped int64) error { return tr.say(fmt.Sprint("recovered ", dropped), tr.failing()) },
			Ended:     func() { _ = tr.say("ended", nil) },
		})
		do(tr)
	})
}

func (tr *trial) failing() error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	return tr.err
}

func (tr *trial) fail(err error) {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.err = err
}

// say notes what a function was called with, unless it fails.
func (tr *trial) say(what string, err error) error {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if err == nil {
		tr.said = append(tr.said, what)
	}
	return err
}

// add adds lines, and returns when nothing moves.
func (tr *trial) add(lines string) {
	for line := range strings.FieldsSeq(lines) {
		tr.Add([]byte(line))
		synctest.Wait()
	}
}

// want fails the test unless the functions were called so, and the lines are counted so.
func (tr *trial) want(said string, written, dropped int64) {
	tr.Helper()
	tr.mu.Lock()
	defer tr.mu.Unlock()
	if got := strings.Join(tr.said, " | "); got != said || tr.Written() != written || tr.Dropped() != dropped {
		tr.Errorf("%d lines are written and %d dropped:\n%s\nwant %d and %d:\n%s", tr.Written(), tr.Dropped(), got, written, dropped, said)
	}
}

const full = "failed: the queue is full: the reader or the disk is too slow"

// TestFull: Add returns while the output blocks. The queue takes as many lines as it has room for; the
// others are dropped, which is said once until the queue is written.
func TestFull(t *testing.T) {
	try(t, func(tr *trial) {
		tr.add("a b c d e f") // a is being written
		tr.want("", 0, 0)
		tr.add("g h")
		tr.want(full, 0, 2)
		tr.pass <- struct{}{}
		synctest.Wait()
		tr.add("i j") // one fits
		tr.want(full+" | a", 1, 3)
		close(tr.pass)
		synctest.Wait()
		tr.want(full+" | a | b | c | d | e | f | i | recovered 3", 7, 3)
		tr.Close(tr.Context())
	})
}

// TestFullOfBytes: the bytes of the queue are bounded, too.
func TestFullOfBytes(t *testing.T) {
	try(t, func(tr *trial) {
		large := strings.Repeat("x", 60)
		tr.add("a " + large + " " + large + " b")
		tr.want(full, 0, 1)
		close(tr.pass)
		tr.Close(tr.Context())
		tr.want(full+" | a | "+large+" | b | recovered 1 | ended", 3, 1)
	})
}

// TestFailure: a failure is said once until it is over, and the end of it when that can be told.
func TestFailure(t *testing.T) {
	try(t, func(tr *trial) {
		close(tr.pass)
		tr.add("a")
		tr.fail(errors.New("disk full"))
		tr.add("b c d")
		tr.want("a | failed: disk full", 1, 3)
		tr.fail(nil)
		tr.add("e f")
		tr.want("a | failed: disk full | e | recovered 3 | f", 3, 3)
		tr.fail(errors.New("disk full"))
		tr.add("g")
		tr.Close(tr.Context())
		tr.want("a | failed: disk full | e | recovered 3 | f | failed: disk full | ended", 3, 4)
	})
}

// TestClose: Close writes the queue, and later lines are dropped without a word.
func TestClose(t *testing.T) {
	try(t, func(tr *trial) {
		tr.add("a b")
		go close(tr.pass)
		if left := tr.Close(tr.Context()); left != 0 {
			tr.Errorf("%d lines are left", left)
		}
		tr.add("c")
		tr.Close(tr.Context())
		tr.want("a | b | ended", 2, 1)
	})
}

// TestCloseOfABlockedOutput: Close waits until its context is done, counts what it gives up, and leaves
// the goroutine to the output.
func TestCloseOfABlockedOutput(t *testing.T) {
	try(t, func(tr *trial) {
		tr.add("a b c")
		ctx, cancel := context.WithTimeout(tr.Context(), time.Second)
		defer cancel()
		if left := tr.Close(ctx); left != 3 {
			tr.Errorf("%d lines are left, want 3", left)
		}
		tr.want("", 0, 3)
		close(tr.pass)
		synctest.Wait()
		tr.want("a | ended", 0, 3)
	})
}
