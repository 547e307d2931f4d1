package collect

import (
	"errors"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/state"
)

func TestTimeBudget(t *testing.T) {
	const (
		whole = 2 * time.Second
		ms    = time.Millisecond
	)
	var b timeBudget
	after := func(what string, happens func(), wantRank int, wantTimeout time.Duration) {
		t.Helper()
		happens()
		if b.rank() != wantRank || b.timeout(whole) != wantTimeout {
			t.Errorf("after %s: rank %d and %v, want %d and %v", what, b.rank(), b.timeout(whole), wantRank, wantTimeout)
		}
	}
	replies := func(took time.Duration) func() { return func() { b.replied(took, whole) } }
	fails := func(reason failure.Reason, took time.Duration) func() {
		return func() { b.failed(failure.New(reason, errors.New("")), took) }
	}
	// Double the time is one rank more. The time used before counts half.
	after("nothing", func() {}, 1, whole)
	after("a quick reply", replies(900*time.Microsecond), 1, whole)
	after("a reply after 1 ms", replies(ms), 2, whole)
	after("a reply after 1.8 s", replies(1800*ms), 12, whole)
	after("a quick reply", replies(0), 11, whole)
	after("a quick reply", replies(0), 10, whole)
	after("another failure", fails(failure.Closed, 1024*ms), 12, whole)

	// A sandbox that was not reached goes first, once.
	after("a collection that ended before", fails(failure.OutOfTime, 0), 0, whole)
	after("one that ended in the middle", fails(failure.OutOfTime, 1024*ms), 12, whole)

	// A sandbox that stalled gets a short timeout, doubled by each reply.
	after("a stall", fails(failure.Stalled, whole), 12, 50*ms)
	after("another", fails(failure.Stalled, 50*ms), 11, 50*ms)
	after("a reply", replies(0), 10, 100*ms)
	after("a stall", fails(failure.Stalled, 100*ms), 9, 50*ms)
	for _, want := range []time.Duration{100, 200, 400, 800, 1600} {
		after("a reply", replies(0), b.rank()-1, want*ms)
	}
	after("the last reply", replies(0), 3, whole)
	if got := b.timeout(10 * ms); got != 10*ms {
		t.Errorf("of 10 ms it gets %v", got)
	}
}

// TestQueriesShareTime: all queries on a connection together have the time of one.
func TestQueriesShareTime(t *testing.T) {
	e := &env{options: Options{SandboxTimeout: time.Second}, meter: new(host.Meter)}
	l := &life{env: e, facts: &state.Sandbox{Restored: true}}
	l.usage.reported.detailed = true
	export := &queriesOf(l).export
	export.begin()
	var q control.Query = export
	for _, want := range []time.Duration{time.Second, 400 * time.Millisecond, 0} { // export, event and savings
		if q == nil || q.Timeout() != want {
			t.Fatalf("the query %T does not have %v", q, want)
		}
		q.(interface{ replied(time.Duration) }).replied(600 * time.Millisecond)
		q = q.Next()
	}
	if q != nil {
		t.Errorf("a query %T follows", q)
	}
}
