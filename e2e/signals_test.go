package e2e

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
	"testing"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

// TestSecondSignal: a second signal ends the server at once, while the first lets it finish a
// scrape.
func TestSecondSignal(t *testing.T) {
	w := newSimulatedWorld(t)
	asked := make(chan struct{})
	askedOnce := sync.OnceFunc(func() { close(asked) })
	w.simulate(simulate.Spec{ID: "stalls", Behavior: func(x *simulate.Exchange) error {
		askedOnce()
		return x.Stall()
	}})
	s := w.startServer(w.serveArgs())
	scraped := make(chan struct{})
	go func() {
		defer close(scraped)
		for { // on a slow machine, a scrape may not reach the sandbox
			_, _ = w.client.GetMetrics(w.ctx(), nil)
			select {
			case <-asked:
				return
			default:
			}
		}
	}()
	<-asked
	// The second signal comes right after the first, so the server cannot have ended before.
	s.signal(syscall.SIGSTOP)
	s.signal(syscall.SIGTERM)
	s.signal(syscall.SIGINT)
	s.signal(syscall.SIGCONT)
	<-s.ended
	<-scraped
	if code := s.ProcessState.ExitCode(); code != 128+int(syscall.SIGTERM) && code != 128+int(syscall.SIGINT) {
		t.Errorf("it exits with %d and says\n%s", code, &s.err)
	}
}

// TestHangup: metric-server goes on after SIGHUP if it was started with nohup.
func TestHangup(t *testing.T) {
	// A program inherits that a signal is ignored, as it is where these tests run under nohup, but not that it is handled.
	handled := make(chan os.Signal, 1)
	signal.Notify(handled, syscall.SIGHUP)
	defer signal.Stop(handled)
	w := newSimulatedWorld(t)
	args := append([]string{"-c", `trap "" HUP; exec "$0" "$@"`, sandmeter}, w.metricServerArgs()...)
	s := w.startProgram(newRun(t, "/bin/sh", args...))
	s.signal(syscall.SIGHUP)
	w.scrape()
	s.signal(syscall.SIGTERM)
	s.wantEnd(soon, 0)
}
