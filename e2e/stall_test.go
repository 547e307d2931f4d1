package e2e

import (
	"syscall"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

// TestSandboxThatStallsAtEverySecondScrapeHoldsThemNoLonger than one that stalls at each: to answer in between does not buy it its whole
// time again.
func TestSandboxThatStallsAtEverySecondScrapeHoldsThemNoLonger(t *testing.T) {
	p := newPlayed(t)
	p.play(simulate.Spec{ID: "good"})
	p.play(simulate.Spec{ID: "alternates", Behavior: func(x *simulate.Exchange) error {
		if x.N%2 == 0 {
			return x.Stall()
		}
		return simulate.Honest(x)
	}})
	p.serve()
	late := 0
	for range 10 {
		if _, took := p.within(10 * time.Second); took > time.Second {
			late++
		}
	}
	if late > 1 {
		t.Errorf("%d of 10 scrapes took the sandbox's whole time of 2 s", late)
	}
}

// TestServerThatWasPausedBlamesNoSandbox: what has arrived when it goes on is an answer, however long it did not look.
func TestServerThatWasPausedBlamesNoSandbox(t *testing.T) {
	p := newPlayed(t)
	asked := make(chan struct{}, 100)
	p.play(simulate.Spec{ID: "sb", Behavior: func(x *simulate.Exchange) error {
		asked <- struct{}{}
		if err := x.Wait(200 * time.Millisecond); err != nil {
			return err
		}
		return simulate.Honest(x)
	}})
	s := p.serve("--sandbox-timeout", "500ms")
	t.Cleanup(func() { s.signal(syscall.SIGCONT) })
	pages := make(chan timedPage, 1)
	go func() { pages <- p.tryWithin(t.Context(), 10*time.Second) }()
	<-asked
	s.signal(syscall.SIGSTOP)
	time.Sleep(time.Second)
	s.signal(syscall.SIGCONT)
	page := <-pages
	p.must(page.err)
	parsePage(t, page.data).wantFailure(t, "sb", "")
}
