package e2e

import (
	"encoding/json"
	"maps"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/metricclient"
)

// command runs the program to its end and returns its output. It fails the test if the program
// writes to standard error.
func (w *world) command(args ...string) string {
	w.t.Helper()
	p := newProgram(w.t, args...)
	p.exit(w.t, 0)
	if said := p.err.String(); said != "" {
		w.t.Errorf("%q says on standard error:\n%s", p.Args, said)
	}
	return p.out.String()
}

// fails runs the program and fails the test unless it exits with 1 and writes one line, the error,
// that matches want.
func (w *world) fails(want string, args ...string) {
	w.t.Helper()
	p := newProgram(w.t, args...)
	p.exit(w.t, 1)
	if said := p.err.String(); p.out.String() != "" || !regexp.MustCompile(`^sandmeter: .*`+want+`\n$`).MatchString(said) {
		w.t.Errorf("%q says\n%s%swant one line that matches %q", p.Args, &p.out, said, want)
	}
}

func TestExport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pod := runsc.Pod{Sandbox: "pre", Name: "a \"pod\"", Namespace: "shop"}
	add := w.pod(pod)
	add("pre", func(c *runsc.Container) { c.Args = []string{"workload", "touch", "10"} })
	add("app", func(*runsc.Container) {})
	w.start("pre1", "idle")
	w.start("paused", "idle")
	w.must(w.node.Pause(w.ctx(), "paused"))
	w.must(w.node.Create(w.ctx(), w.container("created", "idle")))
	w.serve()
	w.until(func() error { // no value changes any more
		if before, after := w.scrape(), w.scrape(); !maps.Equal(before.of("pre"), after.of("pre")) || after.of("pre")["runsc_fs_opens"] < 10 {
			return errNot("the workload has done what it does")
		}
		return nil
	})
	for _, id := range []string{"pre", "pre1", "paused", "created"} {
		page := parsePage(t, metricclient.MetricData(w.command("export", "--metric-naming", "runsc", "--root", w.root, id)))
		for line := range strings.Lines(string(page.raw)) {
			if !regexp.MustCompile(`^(# (HELP|TYPE) )?runsc_[a-z]`).MatchString(line) || strings.Contains(line, "runsc_meta_") {
				t.Errorf("export %s has a line that is none of the sandbox's:\n%s", id, line)
			}
		}
		for name := range page.families {
			for _, s := range page.find(name) {
				if s.labels["sandbox"] != id || s.labels["iteration"] != stateOf(w, id).iteration() {
					t.Errorf("export %s has %s of another sandbox: %v", id, name, s.labels)
				}
			}
		}
		// The server has the same values.
		if exported, served := page.of(id), w.scrape().of(id); len(exported) == 0 || !maps.Equal(exported, served) {
			t.Errorf("export %s:\n%v\nthe server's page:\n%v", id, exported, served)
		}
	}
	// The ID of any container of a pod selects the pod, as in runsc export-metrics, and so does a
	// unique prefix.
	for _, id := range []string{"app", "ap"} {
		page := parsePage(t, metricclient.MetricData(w.command("export", "--metric-naming", "runsc", "--root", w.root, "--filter", "^fs_opens$", id)))
		if len(page.families) != 1 || len(page.find("runsc_fs_opens", "sandbox", "pre")) != 1 {
			t.Errorf("export %s:\n%s", id, page.raw)
		}
	}
	exported := parsePage(t, metricclient.MetricData(w.command("export", "--metric-naming", "runsc", "--root", w.root, "--exporter-prefix", "x_", "pre")))
	if len(exported.find("x_fs_opens", "pod_name", pod.Name, "namespace_name", "shop")) != 1 {
		t.Errorf("the pod's labels and the prefix:\n%s", exported.raw)
	}
}

// of returns the sums of the metrics that a sandbox reports, by family.
func (p page) of(id string) map[string]float64 {
	sums := map[string]float64{}
	for name := range p.families {
		if strings.HasPrefix(name, "runsc_meta_") || strings.HasPrefix(name, "sandmeter_") {
			continue
		}
		for _, s := range p.find(name, "sandbox", id) {
			sums[name] += s.value
		}
	}
	return sums
}

// TestGet: get and health of a server with real sandboxes.
func TestGet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.pod(runsc.Pod{Sandbox: "pre", Name: "a \"pod\"", Namespace: "shop"})("pre", func(*runsc.Container) {})
	w.start("pre1", "idle")
	w.startServer(w.serveArgs())
	w.untilBegun(2)
	w.command("health", "--address", w.addr, "--root", w.root)
	get := func(flags ...string) string {
		t.Helper()
		return w.command(append([]string{"get", "--address", w.addr}, flags...)...)
	}
	all := parsePage(t, metricclient.MetricData(get()))
	if diff := cmp.Diff(w.scrape().withoutValues(), all.withoutValues()); diff != "" {
		t.Errorf("get differs from the page (-page +get):\n%s", diff)
	}
	one := parsePage(t, metricclient.MetricData(get("--filter", "^meta_sandbox_running$", "--sandbox", "pre")))
	one.wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", "pre", "pod_name", `a "pod"`)
	var samples []struct{ Labels map[string]string }
	w.must(json.Unmarshal([]byte(get("--filter", "^meta_sandbox_running$", "--json")), &samples))
	if len(samples) != 2 || samples[0].Labels["iteration"] != stateOf(w, samples[0].Labels["sandbox"]).iteration() {
		t.Errorf("get --json shows %v", samples)
	}
}
