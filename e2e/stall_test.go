package e2e

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/metricclient"
)

// TestPausedServerAcceptsWhatHasArrived: after a pause of any length, the server accepts replies
// that have arrived.
func TestPausedServerAcceptsWhatHasArrived(t *testing.T) {
	w := newSimulatedWorld(t)
	asked, reply, replied := make(chan struct{}, 100), make(chan struct{}), make(chan error, 100)
	w.simulate(simulate.Spec{ID: "sb", Behavior: func(x *simulate.Exchange) error {
		asked <- struct{}{}
		<-reply
		err := simulate.Honest(x)
		replied <- err
		return err
	}})
	release := sync.OnceFunc(func() { close(reply) })
	t.Cleanup(release)
	const timeout = 2 * time.Second // time to pause the server
	s := w.startServer(w.serveArgs("--sandbox-timeout", timeout.String()))
	t.Cleanup(func() { s.signal(syscall.SIGCONT) })
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	pages, failed := make(chan metricclient.MetricData, 1), error(nil)
	go func() {
		var page metricclient.MetricData
		page, failed = w.client.GetMetrics(ctx, nil)
		pages <- page
	}()
	<-asked
	s.signal(syscall.SIGSTOP)
	w.until(func() error {
		if state := processState(s.Process.Pid); state != "T" {
			return fmt.Errorf("the server, stopped, is in state %q", state)
		}
		return nil
	})
	release()
	w.must(<-replied)
	time.Sleep(timeout) // until all of the sandbox's time has passed
	s.signal(syscall.SIGCONT)
	page := <-pages
	w.must(failed)
	parsePage(t, page).wantFailure(t, "sb", "")
}
