package e2e

import (
	"slices"
	"strings"
	"testing"

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

// TestFamiliesAreThoseOfTheRecordedPage: the recorded page, testdata/families.txt, is from gVisor's own
// server with three sandboxes. Families are in the order of their names, and scrapes differ in values only.
func TestFamiliesAreThoseOfTheRecordedPage(t *testing.T) {
	t.Parallel()
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
	var names []string
	for line := range strings.Lines(string(p.raw)) {
		if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
			names = append(names, strings.Fields(rest)[0])
		}
	}
	if !slices.IsSorted(names) {
		t.Errorf("the order of families is %q", names)
	}
	if diff := cmp.Diff(p.withoutValues(), w.scrape().withoutValues()); diff != "" {
		t.Errorf("two scrapes (-first +second):\n%s", diff)
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
