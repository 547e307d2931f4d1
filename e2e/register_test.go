package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/metricclient"
)

// A cost is what a sandbox has used.
type cost struct {
	opens float64
	cpu   float64 // seconds
}

// costOf returns what a life of a sandbox has used by now.
func (w *world) costOf(s metricclient.RegisteredSandbox) cost {
	w.t.Helper()
	p := w.scrape("sandbox", s.ID)
	opens, _ := p.value("runsc_fs_opens", "iteration", s.Iteration)
	cpu, ok := p.value("sandmeter_sandbox_cpu_seconds_total", "iteration", s.Iteration)
	if !ok {
		cpu, _ = p.value("sandmeter_sentry_cpu_seconds_total", "iteration", s.Iteration) // without a cgroup of its own
	}
	return cost{opens, cpu}
}

// TestPlatform does what a platform does: it registers a sandbox before runsc creates it, lets it
// run, asks what it has cost, and unregisters it.
func TestPlatform(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s := w.startServer(w.serveArgs("--web.enable-registration"))
	type result struct {
		metricclient.RegisteredSandbox
		err error
	}
	registered := make(chan result, 1)
	ctx := w.ctx()
	go func() {
		sandbox, err := w.client.RegisterSandbox(ctx, "job")
		registered <- result{sandbox, err}
	}()
	w.start("job", "touch", "1000")
	job := <-registered
	w.must(job.err)
	state := stateOf(w, "job")
	if pid, err := w.node.Pid("job"); err != nil || job.PID != pid || job.Iteration != state.iteration() || job.RuntimeRoot != w.root {
		t.Errorf("registered is %+v; the sandbox has PID %d (%v) and iteration %s", job, pid, err, state.iteration())
	}
	var used cost
	w.until(func() error {
		if used = w.costOf(job.RegisteredSandbox); used.opens < 1000 || used.cpu <= 0 {
			return fmt.Errorf("the sandbox has used %+v", used)
		}
		return nil
	})
	t.Logf("sandbox %s opened %.0f files and used %.3f s of CPU time", job.ID, used.opens, used.cpu)
	last, err := w.client.UnregisterSandbox(w.ctx(), "job")
	w.must(err)
	if last.Iteration != job.Iteration {
		t.Errorf("unregistered is %+v", last)
	}
	conforms := w.openAPI()
	conforms("/api/v1/sandboxes", http.StatusOK, "List")
	conforms("/api/v1/sandboxes/job", http.StatusOK, "Detail")

	hidden := func() bool {
		return len(w.scrape().find("runsc_fs_opens", "iteration", job.Iteration)) == 0
	}
	if !hidden() {
		t.Error("the unregistered sandbox is on the page")
	}
	w.remove("job")
	w.start("job", "touch", "10")
	w.until(func() error {
		if len(w.scrape().find("runsc_fs_opens", "sandbox", "job")) != 1 {
			return errors.New("the next life of the ID is not on the page")
		}
		return nil
	})

	// A restart forgets unregistrations.
	_, err = w.client.UnregisterSandbox(w.ctx(), "job")
	w.must(err)
	s.signal(syscall.SIGTERM)
	s.wantEnd(ample, 0)
	w.startServer(w.serveArgs("--web.enable-registration"))
	if got := w.scrape().labels("runsc_fs_opens", "sandbox"); len(got) != 1 || got[0] != "job" {
		t.Errorf("after a restart, the page has %q", got)
	}
}

// TestRegisterReal: what cannot be registered.
func TestRegisterReal(t *testing.T) {
	t.Parallel()
	bothServers(t, func(w *world, args func(...string) []string) {
		w.start("job", "idle")
		s := w.startServer(args())
		fails := func(id string, is error) {
			w.t.Helper()
			ctx, cancel := context.WithTimeout(w.t.Context(), time.Second)
			defer cancel()
			if _, err := w.client.RegisterSandbox(ctx, id); !errors.Is(err, is) {
				w.t.Errorf("registering %s: %v, want %v", id, err, is)
			}
			if _, err := w.client.UnregisterSandbox(w.ctx(), id); !errors.Is(err, is) {
				w.t.Errorf("unregistering %s: %v, want %v", id, err, is)
			}
		}
		fails("job", metricclient.ErrNoRegistering)
		s.signal(syscall.SIGTERM)
		s.wantEnd(ample, 0)
		w.startServer(args("--web.enable-registration"))
		sandbox, err := w.client.RegisterSandbox(w.ctx(), "job")
		w.must(err)
		if sandbox.ID != "job" || sandbox.Iteration != stateOf(w, "job").iteration() {
			w.t.Errorf("registered is %+v", sandbox)
		}
		fails("jo", metricclient.ErrNoSandbox) // the prefix of an ID
	})
}
