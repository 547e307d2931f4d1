package control

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

// TestBytesHeld: the total of unfinished replies is limited. The one with the largest buffer makes room, not a
// slow one.
func TestBytesHeld(t *testing.T) {
	w := newWorld(t)
	l := w.loopByHand(3)
	l.pool.most = 22 * chunk // buffers have 1, 4 or 16 chunks
	s := w.start(simulate.Spec{ID: "a", Behavior: simulate.Stall})
	all := repeat(3, s)
	w.addRun(l, all...)
	l.begin()
	slotOf := func(p *probe) int32 {
		return int32(slices.IndexFunc(l.slots, func(s slot) bool { return s.query == Query(p) }))
	}
	hold := func(p *probe, chunks int) bool { return l.hold(slotOf(p), make([]byte, chunks*chunk), time.Now()) }
	small, large, last := all[0], all[1], all[2]
	if !hold(small, 1) || !hold(large, 5) || !hold(last, 2) {
		t.Error("there is no room for the first replies")
	}
	if !hold(small, 1) || large.failure != overBudget || small.ends+last.ends != 0 {
		t.Errorf("failures are %v, %v and %v, want only the second", small.failure, large.failure, last.failure)
	}
	if hold(last, 20) || last.failure != overBudget || small.ends != 0 || l.pool.held > l.pool.most {
		t.Errorf("the largest itself: %v; the other: %v; %d bytes are held", last.failure, small.failure, l.pool.held)
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
