package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"testing"

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
	w.untilBegun(1)
}
