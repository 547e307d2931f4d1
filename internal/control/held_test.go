package control

import (
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// TestBytesHeld: the total of unfinished replies is limited, and the longest reply fails, not a
// slow one.
func TestBytesHeld(t *testing.T) {
	w := newWorld(t)
	const limit, long, most = 512 << 10, 400 << 10, 1 << 20
	w.loop.pool.most = most
	evicted, replied := make(chan struct{}), make(chan struct{})
	sendsMuch := func(x *simulate.Exchange) error {
		if err := x.Send([]byte("[" + strings.Repeat(" ", long))); err != nil {
			return err
		}
		await(replied)
		return io.EOF
	}
	slow := newProbe(w.start(simulate.Spec{ID: "slow", Behavior: func(x *simulate.Exchange) error {
		reply := x.Reply()
		if err := x.Send(reply[:100]); err != nil {
			return err
		}
		await(evicted)
		return x.Send(reply[100:])
	}}).SocketPath())
	slow.onEnd = func(*probe) { close(replied) }
	evictions := 0
	all := []*probe{slow}
	for _, id := range []string{"a", "b", "c", "d"} {
		q := newProbe(w.start(simulate.Spec{ID: id, Behavior: sendsMuch}).SocketPath())
		q.limit = limit
		q.onEnd = func(q *probe) {
			if held := w.loop.pool.held; held > most {
				t.Errorf("%d bytes are held", held)
			}
			if q.failure == overBudget {
				if evictions++; evictions == 1 {
					close(evicted)
				}
			} else if !q.failed(failure.Closed) {
				t.Errorf("a long one: %v", q.failure)
			}
		}
		all = append(all, q)
	}
	w.run(all...)
	if !slow.honest() {
		t.Errorf("the slow one: %q, %v", slow.reply, slow.failure)
	}
	// Of four replies of 400 KB at least one fits into 1 MB.
	if evictions == 0 || evictions == 4 {
		t.Errorf("%d of 4 long replies were given up", evictions)
	}
}

// TestLargeSpareBuffers: a large spare buffer does not make a short reply the largest.
func TestLargeSpareBuffers(t *testing.T) {
	w := newWorld(t)
	w.loop.pool = pool{most: 3 << 19, held: 900 << 10, spare: [][]byte{make([]byte, 0, 900<<10)}, used: true}
	shortHeld, longReplied := make(chan struct{}), make(chan struct{})
	short := newProbe(w.start(simulate.Spec{ID: "short", Behavior: func(x *simulate.Exchange) error {
		if err := errors.Join(x.Send([]byte("[ ")), untilRead(x)); err != nil {
			return err
		}
		close(shortHeld)
		await(longReplied)
		return x.Send([]byte("]"))
	}}).SocketPath())
	long := newProbe(w.start(simulate.Spec{ID: "long", Behavior: func(x *simulate.Exchange) error {
		await(shortHeld)
		return x.Send([]byte("[" + strings.Repeat(" ", 300<<10) + "]"))
	}}).SocketPath())
	long.onEnd = func(*probe) { close(longReplied) }
	w.run(short, long)
	if short.failure != nil || long.failure != nil {
		t.Errorf("got %v and %v", short.failure, long.failure)
	}
}

// TestBuffersAreReleased: after a run without buffers, no spare buffers are kept.
func TestBuffersAreReleased(t *testing.T) {
	w := newWorld(t)
	long := newProbe(w.start(simulate.Spec{ID: "long", Behavior: simulate.Flood(`["`, "a", 300<<10, `"]`)}).SocketPath())
	short := newProbe(w.start(simulate.Spec{ID: "short"}).SocketPath())
	w.run(long)
	w.run(short)
	if held := w.loop.pool.held; long.failure != nil || short.failure != nil || held != 0 {
		t.Errorf("got %v and %v, and %d bytes are held", long.failure, short.failure, held)
	}
}
