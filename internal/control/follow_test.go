package control

import (
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// chain makes each query the one that follows the query before it, and returns the first.
func chain(all ...*probe) *probe {
	for i, p := range all[1:] {
		all[i].next = func() Query { return p }
	}
	return all[0]
}

// secondly replies honestly to the first request of a connection, and then with b.
func secondly(b simulate.Behavior) simulate.Behavior {
	return simulate.On(simulate.MethodSavings, b)
}

// savings returns a query for the time that a restore saved.
func savings(s *simulate.Sandbox) *probe {
	p := newProbe(s.SocketPath())
	p.request = SavingsRequest()
	return p
}

// TestFollow: queries that follow are sent on one connection, each after the whole reply to the one
// before, and the peer is checked once.
func TestFollow(t *testing.T) {
	w := newWorld(t)
	s := w.start(simulate.Spec{ID: "a"})
	all := []*probe{newProbe(s.SocketPath()), savings(s), newProbe(s.SocketPath())}
	all[0].onEnd = func(*probe) {
		if q := s.Stats().Queries; q != 1 {
			t.Errorf("%d requests were sent before the end of the first reply", q)
		}
	}
	before := w.loop.Traffic()
	w.ask(chain(all...))
	if !all[0].honest() || !strings.Contains(all[1].reply, "CPUTimeSaved") || !all[2].honest() {
		t.Errorf("got %+v, %+v and %+v", all[0].outcome, all[1].outcome, all[2].outcome)
	}
	if got := s.Stats().Connections; got != 1 {
		t.Errorf("%d connections, want 1", got)
	}
	if got := w.loop.Traffic().Since(before).Queries; got != 3 {
		t.Errorf("%d queries are counted, want 3", got)
	}
	if len(all[0].peers) != 1 || len(all[1].peers) != 0 || all[1].ends != 1 || all[1].took <= 0 {
		t.Errorf("%d and %d checks of the peer, %d ends after %v", len(all[0].peers), len(all[1].peers), all[1].ends, all[1].took)
	}
}

// TestFollowFails: the failure of a query that follows is its own. The query before it has ended
// with its reply by then.
func TestFollowFails(t *testing.T) {
	check := func(name string, want failure.Reason, b simulate.Behavior, change func(w *world, second *probe)) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := w.start(simulate.Spec{ID: "a", Behavior: secondly(b)})
			first, second, third := newProbe(s.SocketPath()), savings(s), newProbe(s.SocketPath())
			if change != nil {
				change(w, second)
			}
			fine := newProbe(w.start(simulate.Spec{ID: "fine"}).SocketPath())
			w.run(chain(first, second, third), fine)
			if !first.honest() || !fine.honest() {
				t.Errorf("the first: %v; another sandbox: %v", first.failure, fine.failure)
			}
			if !second.failed(want) || second.ends != 1 || second.took <= 0 {
				t.Errorf("the second: %q, %v, %d ends after %v; want %v", second.reply, second.failure, second.ends, second.took, want)
			}
			if third.ends != 0 {
				t.Error("a query followed one that failed")
			}
			if w.loop.inFlight() != 0 || w.loop.pool.held != sizeOf(w.loop.pool.spare) {
				t.Errorf("%d queries are in flight, and buffers of %d bytes in use", w.loop.inFlight(), w.loop.pool.held-sizeOf(w.loop.pool.spare))
			}
		})
	}
	check("it stalls", failure.Stalled, simulate.Stall, func(_ *world, p *probe) { p.timeout = 30 * time.Millisecond })
	check("it hangs up", failure.Closed, simulate.HangUp(0.5), nil)
	check("its reply is too long", failure.TooLong, simulate.Honest, func(_ *world, p *probe) { p.limit = 10 })
	check("it panics", failure.Internal, simulate.Honest, func(_ *world, p *probe) { p.onRead = func() { panic("a defect") } })
	check("it has no address", failure.Internal, simulate.Honest, func(_ *world, p *probe) { p.address = nil })
}

// TestFollowOutOfTime: when the run is over after the first reply, nothing is sent any more.
func TestFollowOutOfTime(t *testing.T) {
	w := newWorld(t)
	s := w.start(simulate.Spec{ID: "a"})
	first, second := newProbe(s.SocketPath()), savings(s)
	first.onEnd = func(*probe) { w.loop.Stop() }
	w.ask(chain(first, second))
	if !first.honest() || second.failure != neverSent || s.Stats().Queries != 1 {
		t.Errorf("got %v and %v after %d requests", first.failure, second.failure, s.Stats().Queries)
	}
}

func sizeOf(buffers [][]byte) (n int) {
	for _, b := range buffers {
		n += cap(b)
	}
	return n
}

// TestFollowPanics: a panic in Next is dropped. The query has its reply.
func TestFollowPanics(t *testing.T) {
	w := newWorld(t)
	p := newProbe(w.start(simulate.Spec{ID: "a"}).SocketPath())
	p.next = func() Query { panic("a defect") }
	if w.ask(p); !p.honest() || p.ends != 1 {
		t.Errorf("got %q, %v", p.reply, p.failure)
	}
}

// TestFollowThrottled: a query follows a reply that came in so many fragments that it was throttled.
func TestFollowThrottled(t *testing.T) {
	w := newWorld(t)
	s := w.start(simulate.Spec{ID: "a", Behavior: simulate.On(simulate.MethodExport, func(x *simulate.Exchange) error {
		reply := string(x.Reply())
		return fragments(append(bytesOf(reply[:2*freeReads]), reply[2*freeReads:])...)(x)
	})})
	first, second := newProbe(s.SocketPath()), savings(s)
	if w.ask(chain(first, second)); !first.honest() || second.failure != nil {
		t.Errorf("got %v and %v", first.failure, second.failure)
	}
}
