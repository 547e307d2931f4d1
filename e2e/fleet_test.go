package e2e

import (
	"slices"
	"strconv"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/metricclient"
)

func TestServerStoppedAndStartedAgain(t *testing.T) {
	w := newWorld(t)
	w.serve()
	w.start("stays", "idle")
	w.start("goes", "idle")
	w.scrape()
	w.stop()
	w.remove("goes")
	w.start("comes", "idle")
	w.serve()
	p := w.scrape()
	want := []string{"comes", "stays"}
	for _, metric := range []string{"runsc_meta_sandbox_presence", alwaysThere, "runsc_meta_sandbox_metadata"} {
		if got := p.labels(metric, "sandbox"); !slices.Equal(got, want) {
			t.Errorf("sandboxes of %s after the restart: %q, want %q", metric, got, want)
		}
	}
}

func TestServerKilledAndStartedAgain(t *testing.T) {
	w := newWorld(t)
	w.start("sb", "idle")
	w.serve()
	w.must(unix.Kill(w.serverPid(), unix.SIGKILL))
	w.until(func() error { return w.client.ShutdownServer(w.ctx()) })
	w.serve() // the dead one's socket is still there
	w.scrape().wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", "sb")
}

func TestFiveBesideOneThatDidNotAsk(t *testing.T) {
	w := newWorld(t)
	w.serve()
	var ids []string
	for i := range 5 {
		id := "sb-" + strconv.Itoa(i)
		ids = append(ids, id)
		w.start(id, "idle")
	}
	silent := w.container("silent", "idle")
	silent.MetricServer = ""
	w.must(w.node.Run(w.ctx(), silent))

	wantSandboxes := func(want []string) {
		t.Helper()
		p := w.scrape()
		for _, metric := range []string{"runsc_meta_sandbox_presence", alwaysThere} {
			if got := p.labels(metric, "sandbox"); !slices.Equal(got, want) {
				t.Errorf("sandboxes of %s: %q, want %q", metric, got, want)
			}
		}
		p.wantValue(t, float64(len(want)), "runsc_meta_num_sandboxes_running")
	}
	wantSandboxes(ids)
	w.remove("sb-0", "sb-2", "sb-4")
	wantSandboxes([]string{"sb-1", "sb-3"})
	w.scrape().wantValue(t, 5, "runsc_meta_num_sandboxes_total")
}

func TestSandboxesOfAnotherServerAreNotServed(t *testing.T) {
	w := newWorld(t)
	other := w.container("other", "idle")
	other.MetricServer = "localhost:1"
	w.must(w.node.Run(w.ctx(), other))
	w.start("ours", "idle")
	w.serve()
	if got := w.scrape().sandboxes(); !slices.Equal(got, []string{"ours"}) {
		t.Errorf("sandboxes: %q", got)
	}
}

func TestSandboxThatEndedIsPresentAndNotRunning(t *testing.T) {
	w := newWorld(t)
	w.start("killed", "idle")
	w.start("ended", "exit")
	w.start("paused", "idle")
	w.serve()
	pid, err := w.node.Pid("killed")
	w.must(err)
	w.must(unix.Kill(pid, unix.SIGKILL))
	w.must(w.node.Pause(w.ctx(), "paused"))

	w.untilValue(0, "runsc_meta_sandbox_running", "sandbox", "killed")
	w.untilValue(0, "runsc_meta_sandbox_running", "sandbox", "ended")
	p := w.scrape()
	for _, id := range []string{"killed", "ended"} {
		p.wantValue(t, 1, "runsc_meta_sandbox_presence", "sandbox", id)
		p.wantNone(t, alwaysThere, "sandbox", id)
	}
	p.wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", "paused")
	p.wantValue(t, 1, "runsc_meta_num_sandboxes_running")
	p.wantValue(t, 0, "runsc_meta_num_sandboxes_broken_metrics")
}

func TestRestoredSandbox(t *testing.T) {
	w := newWorld(t)
	w.start("sb", "idle")
	w.serve()
	w.scrape().wantValue(t, 0, "runsc_meta_sandbox_restored", "sandbox", "sb")
	image, err := w.node.Checkpoint(w.ctx(), "sb")
	w.must(err)
	w.remove("sb")
	w.must(w.node.Restore(w.ctx(), w.container("sb", "idle"), image))
	w.untilValue(1, "runsc_meta_sandbox_restored", "sandbox", "sb")
	p := w.scrape()
	p.wantValue(t, 1, "runsc_meta_num_sandboxes_restored")
	if saved, ok := p.value("runsc_meta_sandbox_wall_time_saved_milliseconds", "sandbox", "sb"); !ok || saved == 0 {
		t.Errorf("wall time saved is %v (present: %t)", saved, ok)
	}
}

func TestPodIsOneSandbox(t *testing.T) {
	w := newWorld(t)
	w.serve()
	pod := runsc.Pod{Sandbox: "pod", Name: "web-1", Namespace: "shop"}
	add := func(id string, uid uint32, capabilities ...string) {
		t.Helper()
		c := w.container(id, "idle")
		c.Annotations, c.UID, c.Capabilities = pod.Annotations(id), uid, capabilities
		w.must(w.node.Run(w.ctx(), c))
	}
	labels := []string{"sandbox", "pod", "pod_name", "web-1", "namespace_name", "shop"}
	add("pod", 1000, "CAP_KILL")
	w.scrape().wantValue(t, 1, "runsc_meta_spec_metadata", append(labels, "hasuid0", "false")...)
	add("app", 0, "CAP_CHOWN")
	p := w.scrape()
	if got := p.sandboxes(); !slices.Equal(got, []string{"pod"}) {
		t.Errorf("sandboxes: %q", got)
	}
	p.wantValue(t, 1, "runsc_meta_spec_metadata", append(labels, "hasuid0", "true")...)
	if got := p.labels("runsc_meta_sandbox_capabilities", "capability", labels...); !slices.Equal(got, []string{"CHOWN", "KILL"}) {
		t.Errorf("capabilities of the pod: %q", got)
	}
	if len(p.find(alwaysThere, labels...)) != 1 {
		t.Error("the pod's values are not there once")
	}
}

func TestIDsThatBeginAlike(t *testing.T) {
	w := newWorld(t)
	w.start("pre", "idle")
	w.start("pre1", "idle")
	w.serve()
	if got := w.scrape().labels(alwaysThere, "sandbox"); !slices.Equal(got, []string{"pre", "pre1"}) {
		t.Errorf("sandboxes: %q", got)
	}
}

// Whoever scrapes at the same time gets all there is.
func TestOverlappingScrapesLoseNothing(t *testing.T) {
	w := newWorld(t)
	want := []string{"sb-0", "sb-1", "sb-2"}
	for _, id := range want {
		w.start(id, "idle")
	}
	w.serve()
	const scrapers, scrapes = 8, 20
	type answer struct {
		data metricclient.MetricData
		err  error
	}
	answers := make(chan answer, scrapers*scrapes)
	var scraping sync.WaitGroup
	for range scrapers {
		scraping.Go(func() {
			for range scrapes {
				data, err := w.client.GetMetrics(t.Context(), nil)
				answers <- answer{data, err}
			}
		})
	}
	scraping.Wait()
	close(answers)
	for a := range answers {
		w.must(a.err)
		p := parsePage(t, a.data)
		for _, metric := range []string{alwaysThere, "runsc_meta_sandbox_metadata"} {
			if got := p.labels(metric, "sandbox"); !slices.Equal(got, want) {
				t.Fatalf("sandboxes of %s: %q, want %q", metric, got, want)
			}
		}
	}
}
