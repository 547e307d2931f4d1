package collect

import (
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// TestOneEndPerProcess: what is noted of a process that was replaced is not taken for the end of the
// next one, and no end is noted twice.
func TestOneEndPerProcess(t *testing.T) {
	n := newNode(t, nil)
	n.start(simulate.Spec{ID: "a"})
	n.collect()
	s := n.collector.table.sorted[0]
	n.collector.mu.Lock()
	before := s.last
	s.observe(sightings{s.facts: s.looksLike.Locate(s.facts, s.address)}) // as with another process
	before.Store(&finalReading{at: time.Now()})
	n.collector.ends.add(s)
	n.collector.mu.Unlock()
	n.finish(true)
	if s.end != nil {
		t.Fatalf("the sandbox has ended: %+v", s.end)
	}
	n.collector.mu.Lock()
	s.endNow(snapshot.Unknown)
	s.endNow(snapshot.Unknown)
	n.collector.ends.add(s)
	n.collector.mu.Unlock()
	n.finish(true)
	if s.end == nil || len(n.collector.table.lingering) != 1 {
		t.Errorf("its end is %+v, and %d sandboxes linger", s.end, len(n.collector.table.lingering))
	}
}

// TestWaitForStatus: an end is closed when the exit status is known, or a minute later. A clock that was set back
// makes no lifetime negative.
func TestWaitForStatus(t *testing.T) {
	n := newNode(t, nil)
	n.start(simulate.Spec{ID: "a", OwnProcess: true})
	n.look()
	l := n.life("a")
	l.last.Store(&finalReading{at: n.now()})
	if n.collector.finishOne(l, false) {
		t.Error("it is closed at once")
	}
	n.pass(statusWait)
	if !n.collector.finishOne(l, false) {
		t.Error("it is not closed after a minute")
	}
	if got := l.lifetime(l.process.Began().Add(-time.Second)); got != 0 {
		t.Errorf("the lifetime is %v", got)
	}
}

// TestOrderOfEnds: the sandbox that ended first leaves first, even if its status is known last.
func TestOrderOfEnds(t *testing.T) {
	n := newNode(t, nil)
	r := n.collector.table.registry
	for i, at := range []time.Duration{3, 1, 2} {
		l := &life{state: ended, seen: i, last: new(atomic.Pointer[finalReading])}
		l.last.Store(&finalReading{at: testStart.Add(at)})
		r.linger(l)
	}
	var order []int
	for _, l := range r.lingering {
		order = append(order, l.seen)
	}
	if !slices.Equal(order, []int{1, 2, 0}) {
		t.Errorf("the order is %v", order)
	}
}

// TestSlowClosing: a collection does not wait for lives that another goroutine closes.
func TestSlowClosing(t *testing.T) {
	n := newNode(t, nil)
	n.collector.finishing <- struct{}{}
	collected := make(chan struct{})
	go func() {
		defer close(collected)
		n.collect()
	}()
	select {
	case <-collected:
	case <-time.After(time.Minute):
		t.Error("a collection waits for all lives to be closed")
	}
	<-n.collector.finishing
	<-collected
}

// TestUsageOrigin: the last figures are the host's if all that were measured before could be read at
// the end.
func TestUsageOrigin(t *testing.T) {
	const cpu, peak, kills = fact.CPU, fact.MemoryPeak, fact.OOMKills
	type set = []fact.Quantity
	reading := func(all set) (r fact.Reading) {
		for _, q := range all {
			r.Set(q, 1)
		}
		return r
	}
	check := func(before, last set, want snapshot.Origin) {
		t.Helper()
		l := &life{last: new(atomic.Pointer[finalReading])}
		l.usage.found = reading(before)
		if before != nil {
			l.usage.found.Time = testStart
		}
		l.last.Store(&finalReading{usage: reading(last)})
		if got := l.usageOrigin(); got != want {
			t.Errorf("%v, and %v at the end: %s, want %s", before, last, got, want)
		}
	}
	check(nil, nil, snapshot.NoOrigin)
	check(set{}, nil, snapshot.FromSample)
	check(set{cpu}, set{cpu}, snapshot.FromHost)
	check(set{cpu, peak, kills}, set{cpu, peak, kills}, snapshot.FromHost)
	check(set{cpu, peak, kills}, nil, snapshot.FromSample)
	check(set{cpu, peak, kills}, set{cpu}, snapshot.FromSample)
	check(set{cpu, peak, kills}, set{cpu, peak}, snapshot.FromSample)
	check(set{cpu, peak, kills}, set{cpu, kills}, snapshot.FromSample)
	check(set{cpu, peak, kills}, set{peak, kills}, snapshot.FromSample)
	check(set{fact.SentryCPU}, set{fact.SentryCPU}, snapshot.FromSample)
}
