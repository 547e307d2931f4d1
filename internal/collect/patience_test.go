package collect

import (
	"testing"
	"time"
)

func TestPatience(t *testing.T) {
	const whole = 2 * time.Second
	var p patience
	after := func(what string, happens func(), wantRank int, wantTimeout time.Duration) {
		t.Helper()
		happens()
		if p.rank() != wantRank || p.timeout(whole) != wantTimeout {
			t.Errorf("after %s: rank %d and %v, want %d and %v", what, p.rank(), p.timeout(whole), wantRank, wantTimeout)
		}
	}
	answers := func() { p.answered(whole) }
	after("nothing", func() {}, 0, whole)
	after("an answer", answers, 0, whole)
	after("a scrape that ended before", p.cutOff, 1, whole)
	after("an answer", answers, 0, whole)
	after("a stall", p.stalled, 2, 50*time.Millisecond)
	after("another", p.stalled, 2, 50*time.Millisecond)
	after("a scrape that ended before", p.cutOff, 2, 50*time.Millisecond)
	after("an answer", answers, 2, 100*time.Millisecond)
	after("a stall", p.stalled, 2, 50*time.Millisecond)
	for _, want := range []time.Duration{100, 200, 400, 800, 1600} {
		after("an answer", answers, 2, want*time.Millisecond)
	}
	after("the last answer", answers, 0, whole)
	after("a cut", p.cutOff, 1, whole)
	after("a stall", p.stalled, 2, 50*time.Millisecond)
	if got := p.timeout(10 * time.Millisecond); got != 10*time.Millisecond {
		t.Errorf("of 10 ms it gets %v", got)
	}
}
