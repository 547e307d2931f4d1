package page

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// register compiles a registration of metrics, each given as "name type" or "name type help", the
// type being c, g or h, followed by n if the unit is nanoseconds.
func register(t *testing.T, metrics ...string) *schema.Schema {
	t.Helper()
	var list []string
	for _, text := range metrics {
		name, rest, _ := strings.Cut(text, " ")
		typ, help, _ := strings.Cut(rest, " ")
		typ, inNanoseconds := strings.CutSuffix(typ, "n")
		more := map[string]string{"c": `"cumulative":true`, "g": `"cumulative":false`, "h": `"type":1,"distribution_bucket_lower_bounds":[10]`}[typ]
		if inNanoseconds {
			more += `,"units":1`
		}
		list = append(list, fmt.Sprintf(`{"name":"/%s","prometheus_name":"%s","description":"%s",%s}`, name, name, help, more))
	}
	s, err := schema.Compile([]byte(`{"metrics":[` + strings.Join(list, ",") + `]}`))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// dropIn are the options of the drop-in server, whose pages have few families of its own.
var dropIn = families.Options{DropIn: true}

// sandbox returns a running sandbox that reports a sample of each metric of the schema, and has
// capabilities. Without a schema it has no metrics.
func sandbox(id string, s *schema.Schema, capabilities ...string) snapshot.Sandbox {
	labels := &snapshot.Labels{Iteration: "i", Sandbox: id}
	box := snapshot.Sandbox{
		Identity: &snapshot.Identity{Labels: labels, Spec: &snapshot.Spec{Capabilities: capabilities}},
		Phase:    snapshot.Running,
	}
	if s == nil {
		return box
	}
	box.Reported = snapshot.Source{Labels: labels, Schema: s}
	for i := range s.Metrics {
		value := int64(1)
		if s.Metrics[i].Type == schema.Histogram {
			value = int64(len(box.Reported.Histograms))
			box.Reported.Histograms = append(box.Reported.Histograms, snapshot.Histogram{Counts: []uint64{1, 0}})
		}
		box.Reported.Samples = append(box.Reported.Samples, snapshot.Sample{Metric: int32(i), Series: s.Metrics[i].First, Value: value})
	}
	return box
}

// silent returns a sandbox that reports no sample of the schema. It has metrics all the same.
func silent(id string, s *schema.Schema, capabilities ...string) snapshot.Sandbox {
	box := sandbox(id, s, capabilities...)
	box.Reported.Samples, box.Reported.Histograms = nil, nil
	return box
}

func snapshotOf(sandboxes ...snapshot.Sandbox) *snapshot.Snapshot {
	return &snapshot.Snapshot{Sandboxes: sandboxes}
}

// listed are the families about the server, and about the state of sandboxes, that show lists. They
// stand for the others of their groups, as TestWholePage checks.
var listed = []string{"meta_metric_server_presence", "meta_num_series_left_out", "process_start_time_seconds",
	"meta_sandbox_running", families.Capabilities}

func isListed(f *Family) bool {
	return f.group != groupServer && f.group != groupSandbox || slices.Contains(listed, f.metricName)
}

// show renders a page as a line per listed family that has samples: "name type: sandbox sandbox".
func show(p *Page) string {
	var lines []string
	walk := p.Walk()
	for i := range p.Families {
		f := &p.Families[i]
		if !isListed(f) {
			continue
		}
		var from []string
		for src, samples := range walk.Samples(f) {
			for _, s := range samples {
				text := src.Labels.Sandbox
				if src.Metric(s).Open && len(src.Sets[s.Series].Pairs) > 0 {
					text += "/" + src.Sets[s.Series].Pairs[0].Value
				}
				if strings.HasSuffix(f.Name, "num_series_left_out") {
					text += fmt.Sprint(s.Value)
				}
				from = append(from, text)
			}
		}
		if len(from) > 0 {
			lines = append(lines, fmt.Sprintf("%s %s: %s", f.Name, f.Type, strings.Join(from, " ")))
		}
	}
	return strings.Join(lines, "\n")
}

func expect(t *testing.T, what string, p *Page, want ...string) {
	t.Helper()
	if got := show(p); got != strings.Join(want, "\n") {
		t.Errorf("%s: got\n%s\nwant\n%s", what, got, strings.Join(want, "\n"))
	}
}

func TestBuild(t *testing.T) {
	b := NewBuilder(Options{Prefix: "runsc_", Naming: RunscNaming, Families: dropIn})
	one := register(t, "fs_opens c", "net_open g")
	expect(t, "nothing", b.Build(snapshotOf(), Selection{}),
		"process_start_time_seconds gauge: ",
		"runsc_meta_metric_server_presence gauge: ")
	expect(t, "sandboxes in their order in each family", b.Build(snapshotOf(sandbox("a", one), sandbox("b", nil), sandbox("c", one)), Selection{}),
		"process_start_time_seconds gauge: ",
		"runsc_fs_opens counter: a c",
		"runsc_meta_metric_server_presence gauge: ",
		"runsc_meta_sandbox_running gauge: a b c",
		"runsc_net_open gauge: a c")
	expect(t, "a histogram is four families", b.Build(snapshotOf(sandbox("a", register(t, "lat h"))), Selection{}),
		"process_start_time_seconds gauge: ",
		"runsc_lat histogram: a",
		"runsc_lat_max gauge: a",
		"runsc_lat_min gauge: a",
		"runsc_lat_ssd gauge: a",
		"runsc_meta_metric_server_presence gauge: ",
		"runsc_meta_sandbox_running gauge: a")
	box := sandbox("a", one)
	expect(t, "only what a sandbox reports", b.BuildReported(&box, nil),
		"runsc_fs_opens counter: a",
		"runsc_net_open gauge: a")
	expect(t, "some of it", b.BuildReported(&box, mustCompile(t, NewFilters(), "^net_|^meta_")),
		"runsc_net_open gauge: a")
}

// TestWholePage: a page has each sample that families makes of a snapshot, and each that a sandbox
// reports.
func TestWholePage(t *testing.T) {
	s := register(t, "fs_opens c", "lat h", "open g")
	snap := withTotals(snapshotOf(reporting("a", s), sandbox("b", nil), reporting("c", s)))
	options := families.Options{Usage: families.BothNames}
	p := NewBuilder(Options{Prefix: "runsc_", Naming: PrometheusNaming, Families: options}).Build(snap, Selection{})
	var got, want [groups]int // samples
	walk := p.Walk()
	for i := range p.Families {
		if f := &p.Families[i]; f.Part == Whole {
			for _, samples := range walk.Samples(f) {
				got[f.group] += len(samples)
			}
		}
	}
	f := families.New(options)
	made := f.Of(snap)
	want[groupReported] = 2 * len(s.Metrics)
	want[groupServer] = len(f.Server(snap, 0).Samples)
	want[groupTotals] = len(made.Totals.Samples)
	for _, box := range made.Sandboxes {
		want[groupSandbox] += len(box.State.Samples)
		want[groupUsage] += len(box.Usage.Samples)
		want[groupCadvisor] += len(box.Cadvisor.Samples)
	}
	if got != want || slices.Contains(want[:], 0) {
		t.Errorf("by group, the page has %d samples, want %d", got, want)
	}
}

// TestDisagreement: one family has one TYPE and one HELP. The sandbox that comes first decides, the
// server's own families before all.
func TestDisagreement(t *testing.T) {
	newer, older := register(t, "x c newer", "y c first", "h_sum c"), register(t, "x g older", "y c second", "h h", "only g")
	snap := snapshotOf(sandbox("a", newer), sandbox("b", older), sandbox("c", newer))
	p := NewBuilder(Options{Prefix: "runsc_", Naming: RunscNaming, Families: dropIn}).Build(snap, Selection{})
	expect(t, "two releases", p,
		"process_start_time_seconds gauge: ",
		"runsc_h_sum counter: a c",
		"runsc_meta_metric_server_presence gauge: ",
		"runsc_meta_num_series_left_out gauge: 2", // x and h of b
		"runsc_meta_sandbox_running gauge: a b c",
		"runsc_only gauge: b",
		"runsc_x counter: a c",
		"runsc_y counter: a b c")
	i := slices.IndexFunc(p.Families, func(f Family) bool { return f.Name == "runsc_y" })
	if got := p.Families[i].Help; got != "first" {
		t.Errorf("the HELP of y is %q", got)
	}
	collision := register(t, "sandmeter_over_budget c", "x c")
	expect(t, "without a prefix", NewBuilder(Options{Naming: RunscNaming, Families: dropIn}).Build(snapshotOf(sandbox("a", collision)), Selection{}),
		"meta_metric_server_presence gauge: ",
		"meta_num_series_left_out gauge: 1",
		"meta_sandbox_running gauge: a",
		"process_start_time_seconds gauge: ",
		"x counter: a")
}

func TestSelection(t *testing.T) {
	b, filters := NewBuilder(Options{Prefix: "runsc_", Naming: RunscNaming, Families: dropIn}), NewFilters()
	s := register(t, "fs_opens c", "fs_reads c", "net_open g")
	snap := snapshotOf(sandbox("a", s, "KILL", "NET_RAW"), silent("b", s, "NET_ADMIN"))
	server := []string{"process_start_time_seconds gauge: ", "runsc_meta_metric_server_presence gauge: ", "runsc_meta_sandbox_running gauge: a b"}
	check := func(metrics, capabilities string, want ...string) {
		t.Helper()
		m, err := filters.Compile(metrics)
		if err != nil {
			t.Fatal(err)
		}
		c, err := filters.Compile(capabilities)
		if err != nil {
			t.Fatal(err)
		}
		want = append(want, server...) // filters do not hide them
		slices.Sort(want)
		expect(t, fmt.Sprintf("filters %q and %q", metrics, capabilities), b.Build(snap, Selection{Metrics: m, Capabilities: c}), want...)
	}
	const opens, reads, open = "runsc_fs_opens counter: a", "runsc_fs_reads counter: a", "runsc_net_open gauge: a"
	const caps = "runsc_meta_sandbox_capabilities gauge: "
	const all = caps + "a/KILL a/NET_RAW b/NET_ADMIN"
	check("", "", opens, reads, open, all)
	check("fs_.*", "", opens, reads, all)
	check("open", "", opens, open, all)
	check("^net_open$", "", open, all)
	check("runsc_fs", "", all) // filters match names without the prefix
	check("meta", "", all)
	check("", "NET", opens, reads, open, caps+"a/NET_RAW b/NET_ADMIN")
	check("", "^CAP_NET_A", opens, reads, open, caps+"b/NET_ADMIN")
	check("", "^KILL$", opens, reads, open, caps+"a/KILL")
	check("fs_opens", "none", opens)
	check("", "", opens, reads, open, all) // earlier filters have no effect
}

// TestWalkInAnyOrder: families may be walked in any order, several times, or not at all.
func TestWalkInAnyOrder(t *testing.T) {
	s := register(t, "a c", "b h", "c c", "d c")
	p := NewBuilder(Options{Naming: RunscNaming, Families: dropIn}).BuildReported(&[]snapshot.Sandbox{sandbox("x", s)}[0], nil)
	walk := p.Walk()
	for _, i := range []int{3, 0, 0, 6, 2, 1, 5, 4, 6} {
		f := &p.Families[i]
		found := 0
		for src, samples := range walk.Samples(f) {
			for _, sample := range samples {
				if found++; src.Metric(sample).Name+f.Part.suffix() != f.Name {
					t.Errorf("family %s has a sample of %s", f.Name, src.Metric(sample).Name)
				}
			}
		}
		if found != 1 {
			t.Errorf("family %s has %d samples, want 1", f.Name, found)
		}
	}
}

// TestTextSize: the estimated size of a page is that of its sources, as far as families are on it.
func TestTextSize(t *testing.T) {
	box := sandbox("a", register(t, "x_1 c", "x_2 c", "x_3 c", "x_4 c"))
	box.Reported.TextSize = 1 << 20
	snap := snapshotOf(box)
	size := func(rules *SeriesRules, names ...string) int {
		return NewBuilder(Options{Naming: RunscNaming, Families: dropIn, Series: rules}).Build(snap, Selection{Names: values(names...)}).TextSize()
	}
	whole := size(nil)
	if whole <= 1<<20 || whole > 1<<20+2000 {
		t.Errorf("the size is %d", whole)
	}
	if one, two, ruled := size(nil, "x_1"), size(nil, "x_1", "x_2"), size(NewSeriesRules([]string{"x_1"}, []string{"sand.*|meta.*|proc.*"})); one < whole/1000 || two/2 != one || ruled != one {
		t.Errorf("the sizes of one, two and one family are %d, %d and %d of %d", one, two, ruled, whole)
	}
}
