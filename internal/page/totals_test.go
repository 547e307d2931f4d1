package page

import (
	"testing"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// withTotals returns the snapshot with a sample of each family of totals but those about groups.
func withTotals(snap *snapshot.Snapshot) *snapshot.Snapshot {
	totals := schema.NewTotals([]schema.TotalsCounter{{Name: "fs_opens"}}, false, false)
	snap.Totals = snapshot.Source{Labels: noLabels, Schema: totals.Schema, TextSize: 1000,
		Sets:       []*snapshot.LabelSet{snapshot.NewLabelSet(snapshot.Label{Name: "outcome", Value: "exited"})},
		Histograms: []snapshot.Histogram{{Counts: make([]uint64, 15)}}}
	for i := range totals.Metrics {
		snap.Totals.Samples = append(snap.Totals.Samples, snapshot.Sample{Metric: int32(i)})
	}
	return snap
}

var totalsFamilies = []string{
	"sandmeter_sandboxes_ended_total counter: /exited",
	"sandmeter_sandboxes_fs_opens_total counter: /exited",
	"sandmeter_sandboxes_lifetime_seconds histogram: /exited",
	"sandmeter_sandboxes_started_total counter: /exited",
}

// TestTotals: totals have the names of their schema in both namings, and belong to the families of
// the server about itself.
func TestTotals(t *testing.T) {
	one := register(t, "fs_opens c")
	server := []string{"process_start_time_seconds gauge: "}
	for _, naming := range []Naming{RunscNaming, PrometheusNaming} {
		b := NewBuilder(Options{Prefix: "runsc_", Naming: naming, DropIn: true})
		snap := withTotals(snapshotOf())
		snap.Server.Samples = snap.Server.Samples[1:]
		p := b.Build(snap, Selection{})
		expect(t, "all", p, append(server, totalsFamilies...)...)
		if p.TextSize() < 1000 {
			t.Errorf("the size is %d", p.TextSize())
		}
		for i := range p.Families {
			if f := &p.Families[i]; f.Name == "sandmeter_sandboxes_lifetime_seconds" && f.PerSecond != 1e9 {
				t.Errorf("%s is divided by %d", f.Name, f.PerSecond)
			}
		}
	}
	b := NewBuilder(Options{Prefix: "runsc_", Naming: RunscNaming, DropIn: true})
	snap := withTotals(snapshotOf(sandbox("a", one), sandbox("b", one)))
	nothing := mustCompile(t, NewFilters(), "no_such_metric")
	expect(t, "a regular expression hides none", b.Build(snap, Selection{Metrics: nothing, Names: values("sandmeter_sandboxes_started_total", "runsc_fs_opens")}),
		totalsFamilies[3])
	expect(t, "a name", b.Build(snap, Selection{Names: values("sandmeter_sandboxes_lifetime_seconds")}), totalsFamilies[2])
	expect(t, "a name of a sample", b.Build(snap, Selection{Names: values("sandmeter_sandboxes_lifetime_seconds_sum")}))
	shard := func(i int) Selection {
		return Selection{Names: values("sandmeter_sandboxes_started_total"), Sandboxes: snapshot.Selector{Shard: snapshot.Shard{Index: i, Count: 2}}}
	}
	expect(t, "the first shard", b.Build(snap, shard(0)), totalsFamilies[3])
	expect(t, "the second shard", b.Build(snap, shard(1)))
	expect(t, "one sandbox", b.Build(snap, Selection{Names: shard(0).Names, Sandboxes: snapshot.Selector{IDs: values("b")}}), totalsFamilies[3])
}

// TestTotalsKeepTheirNames: registered metrics do not get names of totals or of their samples.
func TestTotalsKeepTheirNames(t *testing.T) {
	b := NewBuilder(Options{Naming: RunscNaming, DropIn: true})
	one := register(t, "sandmeter_sandboxes_started_total c", "sandmeter_sandboxes_lifetime_seconds_count c", "sandmeter_sandboxes_lifetime_seconds_min c")
	snap := withTotals(snapshotOf(sandbox("a", one)))
	names := Selection{Names: values("sandmeter_sandboxes_started_total", "sandmeter_sandboxes_lifetime_seconds_count", "sandmeter_sandboxes_lifetime_seconds_min", "meta_num_series_left_out")}
	expect(t, "collisions", b.Build(snap, names),
		"meta_num_series_left_out gauge: 2",
		"sandmeter_sandboxes_lifetime_seconds_min counter: a",
		totalsFamilies[3])
}

// TestLayoutIsKept: pages with and without totals, and those of one sandbox, share a layout as long
// as the schemas stay the same.
func TestLayoutIsKept(t *testing.T) {
	b := NewBuilder(Options{Prefix: "runsc_", Naming: RunscNaming, DropIn: true})
	box := sandbox("b", register(t, "fs_opens c")) // in shard 1/2
	snap := withTotals(snapshotOf(box))
	b.Build(snap, Selection{})
	first := b.layout
	expect(t, "of a sandbox", b.BuildReported(&box, nil), "runsc_fs_opens counter: b")
	b.Build(snap, Selection{Sandboxes: snapshot.Selector{Shard: snapshot.Shard{Index: 1, Count: 2}}})
	if b.layout != first {
		t.Error("the layout is made anew")
	}
	snap.Totals = snapshot.Source{}
	b.Build(snap, Selection{})
	if b.layout == first {
		t.Error("the layout has totals that are gone")
	}
}

// TestTotalsAndRules: an operator's rules can exclude totals only by name, and drop none of their
// labels.
func TestTotalsAndRules(t *testing.T) {
	check := func(what string, allow, deny, drop []string, want ...string) {
		t.Helper()
		rules, err := NewSeriesRules(allow, deny, drop)
		if err != nil {
			t.Fatal(err)
		}
		snap := withTotals(snapshotOf())
		snap.Server.Samples = snap.Server.Samples[1:]
		b := NewBuilder(Options{Prefix: "runsc_", Naming: RunscNaming, DropIn: true, Series: rules})
		expect(t, what, b.Build(snap, Selection{}), append([]string{"process_start_time_seconds gauge: "}, want...)...)
	}
	check("allow others", []string{"runsc_.*"}, nil, nil, totalsFamilies...)
	check("deny some", nil, []string{"sandmeter_sandboxes_(fs|life).*"}, nil, totalsFamilies[0], totalsFamilies[3])
	check("drop a label", nil, nil, []string{"outcome", "group"}, totalsFamilies...)
}
