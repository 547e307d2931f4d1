package e2e

import (
	"fmt"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/runsc"
)

// wantLives fails the test unless the page of metric-server has exactly the running sandboxes,
// with values. Ended sandboxes are not on it, even if their state files exist.
func (p page) wantLives(t *testing.T, running, ended []string) {
	t.Helper()
	p.wantRunning(t, running, running)
	for _, id := range ended {
		p.wantNone(t, "runsc_meta_sandbox_presence", "sandbox", id)
	}
}

// wantKept is wantLives for a server that keeps ended sandboxes, with their outcomes and counters.
func (p page) wantKept(t *testing.T, running, ended []string) {
	t.Helper()
	p.wantRunning(t, running, slices.Sorted(slices.Values(slices.Concat(running, ended))))
	for _, id := range ended {
		p.wantValue(t, 1, "runsc_meta_sandbox_presence", "sandbox", id)
		p.wantValue(t, 0, "runsc_meta_sandbox_running", "sandbox", id)
		p.wantNone(t, "runsc_meta_sandbox_failure", "sandbox", id)
		if outcomes := p.find("sandmeter_sandbox_outcome", "sandbox", id); len(outcomes) != 1 {
			t.Errorf("the outcomes of %s are %v", id, outcomes)
		}
	}
}

// wantRunning fails the test unless the page has exactly the given sandboxes, and those that run
// have values.
func (p page) wantRunning(t *testing.T, running, all []string) {
	t.Helper()
	if got := p.sandboxes(); !slices.Equal(got, all) {
		t.Errorf("sandboxes: %q, want %q", got, all)
	}
	for _, id := range running {
		p.wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", id)
		p.wantValue(t, 1, alwaysThere, "sandbox", id)
		p.wantValue(t, 1, "runsc_meta_sandbox_metadata", "sandbox", id)
	}
	p.wantValue(t, float64(len(running)), "runsc_meta_num_sandboxes_running")
	p.wantValue(t, 0, "runsc_meta_num_sandboxes_broken_metrics")
}

// pod adds containers to a pod.
func (w *world) pod(pod runsc.Pod) (add func(id string, change func(*runsc.Container))) {
	return func(id string, change func(*runsc.Container)) {
		w.t.Helper()
		c := w.container(id, "idle")
		c.Annotations = pod.Annotations(id)
		change(&c)
		w.must(w.node.Run(w.ctx(), c))
	}
}

func TestPodOfTwoContainersIsOneSandbox(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	add := w.pod(runsc.Pod{Sandbox: "pod", Name: "web-1", Namespace: "shop"})
	add("pod", func(c *runsc.Container) { c.Args = []string{"workload", "touch", "10"} })
	add("app", func(c *runsc.Container) { c.Args = []string{"workload", "touch", "20"} })
	w.serve()
	w.until(func() error {
		if opens, _ := w.scrape().value("runsc_fs_opens"); opens < 30 { // the opens of its containers are opens of the pod
			return fmt.Errorf("the pod opened %v files, its containers 10 and 20", opens)
		}
		return nil
	})
	p := w.scrape()
	p.wantLives(t, []string{"pod"}, nil)
	p.wantValue(t, 1, "runsc_meta_num_sandboxes_total")
	for _, metric := range []string{"runsc_meta_sandbox_presence", alwaysThere, "runsc_fs_opens"} {
		if found := p.find(metric, "sandbox", "pod", "pod_name", "web-1", "namespace_name", "shop"); len(found) != 1 {
			t.Errorf("%s of the pod: %v", metric, found)
		}
	}
	w.remove("app")
	w.scrape().wantLives(t, []string{"pod"}, nil)
}

func TestContainerThatJoinsAfterTheFirstScrapeCounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve()
	add := w.pod(runsc.Pod{Sandbox: "pod", Name: "web-1", Namespace: "shop"})
	var p page
	scraped := func(uid0, version string, capabilities ...string) {
		t.Helper()
		p = w.scrape()
		p.wantLives(t, []string{"pod"}, nil)
		p.wantValue(t, 1, "runsc_meta_spec_metadata", "sandbox", "pod", "pod_name", "web-1", "hasuid0", uid0, "ociversion", version)
		if all := p.find("runsc_meta_spec_metadata"); len(all) != 1 {
			t.Errorf("spec metadata: %v", all)
		}
		if got := p.labels("runsc_meta_sandbox_capabilities", "capability", "sandbox", "pod"); !slices.Equal(got, capabilities) {
			t.Errorf("capabilities: %q, want %q", got, capabilities)
		}
	}
	add("pod", func(c *runsc.Container) { c.UID, c.Capabilities = 1000, []string{"CAP_KILL"} })
	scraped("false", "1.0.0", "KILL")
	add("app", func(c *runsc.Container) { c.Capabilities = []string{"CAP_CHOWN", "CAP_KILL"} })
	scraped("true", "1.0.0", "CHOWN", "KILL")
	add("other", func(c *runsc.Container) { c.UID, c.Capabilities, c.OCIVersion = 1000, []string{"CAP_SYSLOG"}, "1.1.0" })
	scraped("true", "INCONSISTENT", "CHOWN", "KILL", "SYSLOG")
	w.remove("app")
	scraped("false", "INCONSISTENT", "KILL", "SYSLOG")
	w.remove("other")
	scraped("false", "1.0.0", "KILL")
}

func TestPreAndPre1AreTwoSandboxes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.serve()
	f := func(ids ...string) {
		t.Helper()
		p := w.scrape()
		p.wantLives(t, ids, nil)
		for _, id := range ids {
			p.wantValue(t, 1, alwaysThere, "sandbox", id, "iteration", stateOf(w, id).iteration())
		}
	}
	w.start("pre1", "idle")
	f("pre1")
	w.start("pre", "idle")
	f("pre", "pre1")
	w.remove("pre1")
	f("pre")
	w.start("pre1", "idle")
	f("pre", "pre1")
}

func TestPausedSandboxIsRunningAndAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("sb", "busy")
	w.serve()
	opens := func() float64 {
		t.Helper()
		p := w.scrape()
		p.wantLives(t, []string{"sb"}, nil)
		got, _ := p.value("runsc_fs_opens", "sandbox", "sb")
		return got
	}
	first := opens()
	w.must(w.node.Pause(w.ctx(), "sb"))
	paused := opens()
	if again := opens(); again != paused || paused < first {
		t.Errorf("file opens are %v, once paused %v, and %v after that", first, paused, again)
	}
	w.must(w.node.Resume(w.ctx(), "sb"))
	w.until(func() error {
		if opens() <= paused {
			return errNot("the resumed sandbox works")
		}
		return nil
	})
}

func TestRestoredSandbox(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("original", "idle")
	w.serve()
	image, err := w.node.Checkpoint(w.ctx(), "original")
	w.must(err)
	w.remove("original")

	c := w.container("copy", "idle")
	w.must(w.node.Create(w.ctx(), c))
	p := w.scrape()
	p.wantLives(t, []string{"copy"}, nil)
	p.wantValue(t, 0, "runsc_meta_sandbox_restored", "sandbox", "copy")
	p.wantValue(t, 0, "runsc_meta_num_sandboxes_restored")
	for _, metric := range savings {
		p.wantValue(t, 0, metric, "sandbox", "copy")
	}

	w.must(w.node.Restore(w.ctx(), c, image))
	p = w.scrape()
	p.wantLives(t, []string{"copy"}, nil)
	p.wantValue(t, 1, "runsc_meta_sandbox_restored", "sandbox", "copy")
	p.wantValue(t, 1, "runsc_meta_num_sandboxes_restored")
	saved := func() []float64 {
		p := w.scrape()
		var values []float64
		for _, metric := range savings {
			v, ok := p.value(metric, "sandbox", "copy")
			if !ok {
				t.Errorf("%s is not there", metric)
			}
			values = append(values, v)
		}
		return values
	}
	var first []float64
	w.until(func() error {
		if first = saved(); slices.Max(first) == 0 && slices.Min(first) == 0 {
			return errNot("something was saved")
		}
		return nil
	})
	if again := saved(); !slices.Equal(again, first) {
		t.Errorf("the savings were %v and are %v", first, again)
	}
}

// savings has the families of the time that a restored sandbox saved. Values may be negative.
var savings = []string{"runsc_meta_sandbox_cpu_time_saved_milliseconds", "runsc_meta_sandbox_wall_time_saved_milliseconds"}

// untilEnded waits until sandboxes have ended. Their state files still have the status "running".
func (w *world) untilEnded(ids ...string) {
	w.t.Helper()
	for _, id := range ids {
		w.untilGone(w.pid(id))
		if status, err := w.node.Status(id); err != nil || status != "running" {
			w.t.Errorf("the state file of %s says %q, %v: it is the process that tells", id, status, err)
		}
	}
}

func TestSandboxThatEndedByItself(t *testing.T) {
	t.Parallel()
	check := func(name string, serve func(w *world), kept bool, want func(p page, running, ended []string)) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.start("stays", "idle")
			w.start("exits", "exit")
			w.start("told", "idle")
			serve(w)
			w.must(w.node.Kill(w.ctx(), "told", unix.SIGTERM))
			w.untilEnded("exits", "told")
			for range 3 {
				want(w.scrape(), []string{"stays"}, []string{"exits", "told"})
			}
			w.remove("exits", "told")
			p := w.scrape()
			if want(p, []string{"stays"}, []string{"exits", "told"}); !kept {
				want(p, []string{"stays"}, nil)
			}
			p.wantValue(t, 3, "runsc_meta_num_sandboxes_total")
		})
	}
	check("leaves the page of a drop-in", func(w *world) { w.serve() }, false,
		func(p page, running, ended []string) { p.wantLives(t, running, ended) })
	check("stays on the page of serve, deleted or not", func(w *world) { w.startServer(w.serveArgs()) }, true,
		func(p page, running, ended []string) { p.wantKept(t, running, ended) })
}
