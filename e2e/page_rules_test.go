package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// serveThree starts and serves the sandboxes of the recorded page: an idle one, a busy one, and a
// Kubernetes pod.
func serveThree(w *world) {
	w.t.Helper()
	w.start("sb-plain", "idle")
	w.start("sb-busy", "busy")
	c := w.container("sb-k8s", "touch", "20")
	c.Annotations = runsc.Pod{Sandbox: c.ID, Name: "nginx-7d8b49557c-abcde", Namespace: "prod-ns"}.Annotations(c.ID)
	w.must(w.node.Run(w.ctx(), c))
	w.serve()
	w.untilBegun(3)
}

// correctedFamilies are gauges, although the recorded page calls them counters. So they also have
// another HELP text.
var correctedFamilies = []string{"runsc_meta_num_sandboxes_checkpointed", "runsc_meta_num_sandboxes_restored"}

// The recorded page, testdata/families.txt, is from gVisor's own server with three sandboxes.
func TestFamiliesAreThoseOfTheRecordedPage(t *testing.T) {
	w := newWorld(t)
	serveThree(w)
	recorded := testkit.Testdata(t, "families.txt")
	p := w.scrape()
	if diff := cmp.Diff(comments(string(recorded)), comments(string(p.raw))); diff != "" {
		t.Errorf("families (-recorded +served):\n%s", diff)
	}
	for _, name := range correctedFamilies {
		if kind := p.families[name].GetType().String(); kind != "GAUGE" {
			t.Errorf("%s is a %s", name, kind)
		}
	}
}

// comments returns the HELP and TYPE lines of a page, sorted by family, without the corrected
// parts.
func comments(page string) []string {
	var lines []string
	for line := range strings.Lines(page) {
		if !strings.HasPrefix(line, "# ") {
			continue
		}
		fields := strings.SplitN(strings.TrimSpace(line), " ", 4)
		if len(fields) > 3 && slices.Contains(correctedFamilies, fields[2]) {
			fields = fields[:3]
		}
		lines = append(lines, strings.Join(fields, " "))
	}
	slices.SortStableFunc(lines, func(a, b string) int { return strings.Compare(strings.Fields(a)[2], strings.Fields(b)[2]) })
	return lines
}

func TestTwoScrapesDifferInValuesAndTimestampsOnly(t *testing.T) {
	w := newWorld(t)
	serveThree(w)
	first := w.scrape()
	time.Sleep(100 * time.Millisecond)
	second := w.scrape()
	if diff := cmp.Diff(first.withoutValues(), second.withoutValues()); diff != "" {
		t.Errorf("two scrapes (-first +second):\n%s", diff)
	}
	if first.raw == second.raw {
		t.Error("two scrapes are the same, timestamps included")
	}
}

func TestFamiliesAreInOrder(t *testing.T) {
	w := newWorld(t)
	serveThree(w)
	var names []string
	for line := range strings.Lines(string(w.scrape().raw)) {
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			names = append(names, strings.Fields(rest)[0])
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("families are not in the order of their names: %q", names)
	}
}

func TestFiltersThenNone(t *testing.T) {
	w := newWorld(t)
	serveThree(w)
	all := w.scrape()
	own := func(p page) []string {
		return slices.DeleteFunc(p.names(), func(name string) bool {
			return strings.HasPrefix(name, "runsc_meta_") || !strings.HasPrefix(name, "runsc_")
		})
	}
	meta := func(p page) []string {
		return slices.DeleteFunc(p.names(), func(name string) bool { return !strings.HasPrefix(name, "runsc_meta_") })
	}

	filtered := w.scrape("runsc-sandbox-metrics-filter", "^fs_(opens|reads)$")
	if got, want := own(filtered), []string{"runsc_fs_opens", "runsc_fs_reads"}; !slices.Equal(got, want) {
		t.Errorf("families of sandboxes with a filter: %q, want %q", got, want)
	}
	if diff := cmp.Diff(meta(all), meta(filtered)); diff != "" {
		t.Errorf("the filter changes the server's own families (-without +with):\n%s", diff)
	}
	for _, filter := range []string{"NET", "CAP_NET"} {
		got := w.scrape("runsc-capability-filter", filter).labels("runsc_meta_sandbox_capabilities", "capability", "sandbox", "sb-plain")
		if !slices.Equal(got, []string{"NET_BIND_SERVICE"}) {
			t.Errorf("capabilities with the filter %s: %q", filter, got)
		}
	}
	both := w.scrape("runsc-capability-filter", "KILL", "runsc-sandbox-metrics-filter", "nothing has this name")
	if got := own(both); len(got) > 0 {
		t.Errorf("families of sandboxes with a filter that nothing matches: %q", got)
	}
	both.wantValue(t, 0, "runsc_meta_num_sandboxes_broken_metrics")
	if got := both.labels("runsc_meta_sandbox_capabilities", "capability", "sandbox", "sb-plain"); !slices.Equal(got, []string{"KILL"}) {
		t.Errorf("capabilities with both filters: %q", got)
	}
	again := w.scrape()
	if missing := cmp.Diff(own(all), own(again)); missing != "" {
		t.Errorf("without filters again (-before +after):\n%s", missing)
	}
	again.wantValue(t, 3, "runsc_meta_num_sandboxes_running")
}

func TestHostilePodName(t *testing.T) {
	w := newWorld(t)
	name := "web\"} 1\nforged_total{a=\"\\"
	c := w.container("sb", "idle")
	c.Annotations = runsc.Pod{Sandbox: "sb", Name: name, Namespace: "ns\t{}"}.Annotations("sb")
	w.must(w.node.Run(w.ctx(), c))
	w.serve()
	p := w.scrape()
	p.wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", "sb", "pod_name", name, "namespace_name", "ns\t{}")
	p.wantNone(t, "forged_total")
}
