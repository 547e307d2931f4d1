package control

import (
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// TestReadPanics: a panic in Read is the failure of that query.
func TestReadPanics(t *testing.T) {
	w := newWorld(t)
	stalls := newProbe(w.start(simulate.Spec{ID: "stalls", Behavior: simulate.Stall}).SocketPath())
	panics := newProbe(w.start(simulate.Spec{ID: "panics"}).SocketPath())
	fine := newProbe(w.start(simulate.Spec{ID: "fine"}).SocketPath())
	panics.onRead = func() { panic("a defect") }
	left := 2
	stop := func(*probe) {
		if left--; left == 0 {
			w.loop.Stop()
		}
	}
	panics.onEnd, fine.onEnd = stop, stop
	w.run(stalls, panics, fine)
	if !panics.failed(failure.Internal) || panics.failure.Error() != "panic: a defect" {
		t.Errorf("the query that panics: %q, %v", panics.reply, panics.failure)
	}
	if !fine.honest() || !stalls.failed(failure.OutOfTime) {
		t.Errorf("the others: %v and %v", fine.failure, stalls.failure)
	}
}

// TestTargetPanics: a panic in Address, Request, Limit or Timeout is a failure of that query.
func TestTargetPanics(t *testing.T) {
	w := newWorld(t)
	q := probeAt(nil)
	w.loop.Run([]Query{q}, time.Now().Add(ample))
	if q.ends != 1 || !q.failed(failure.Internal) || q.took != 0 {
		t.Errorf("got %v after %v", q.failure, q.took)
	}
}

// TestFailPanics: a panic in Fail ends only that query, whether it has begun or not.
func TestFailPanics(t *testing.T) {
	w := newWorld(t)
	fine := newProbe(w.start(simulate.Spec{ID: "fine"}).SocketPath())
	panics := newProbe(w.path("missing"))
	both := newProbe(fine.address.primary.path)
	both.onRead = func() { panic("a defect") }
	bad := func(*probe) { panic("another defect") }
	panics.onEnd, both.onEnd = bad, bad
	w.run(panics, both, fine)
	if !panics.failed(failure.Unreachable) || !both.failed(failure.Internal) || !fine.honest() {
		t.Errorf("got %v, %v and %v", panics.failure, both.failure, fine.failure)
	}
	w.runUntil(time.Now().Add(-time.Second), []*probe{panics})
	if panics.failure != neverSent {
		t.Errorf("a query that never began: %v", panics.failure)
	}
}
