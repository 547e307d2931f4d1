package page

import (
	"testing"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// withTotals returns the snapshot with totals of a registered counter, without groups, and without
// totals of usage.
func withTotals(snap *snapshot.Snapshot) *snapshot.Snapshot {
	snap.Totals = &snapshot.Totals{
		Counters: []snapshot.TotalsCounter{{Name: "fs_opens"}},
		Groups: []snapshot.TotalsGroup{{
			Counters:  []int64{3},
			Ended:     []int64{1},
			Lifetimes: snapshot.Histogram{Counts: make([]uint64, len(snapshot.LifetimeBounds)+1)},
		}},
	}
	return snap
}

var totalsFamilies = []string{
	"sandmeter_sandboxes_ended_total counter: /exited",
	"sandmeter_sandboxes_fs_opens_total counter: ",
	"sandmeter_sandboxes_lifetime_seconds histogram: ",
	"sandmeter_sandboxes_started_total counter: ",
}

// TestTotals: totals have the names of their schema in both namings, and belong to the families of
// the server about itself.
func TestTotals(t *testing.T) {
	one := register(t, "fs_opens c")
	for naming, presence := range map[Naming]string{RunscNaming: "runsc_meta_metric_server_presence gauge: ", PrometheusNaming: "sandmeter_metric_server_presence gauge: "} {
		b := NewBuilder(Options{Prefix: "runsc_", Naming: naming, Families: dropIn})
		snap := withTotals(snapshotOf())
		p := b.Build(snap, Selection{})
		expect(t, "all", p, append([]string{"process_start_time_seconds gauge: ", presence}, totalsFamilies...)...)
		for i := range p.Families {
			if f := &p.Families[i]; f.Name == "sandmeter_sandboxes_lifetime_seconds" && f.PerSecond != 1e9 {
				t.Errorf("%s is divided by %d", f.Name, f.PerSecond)
			}
		}
	}
	b := NewBuilder(Options{Prefix: "runsc_", Naming: RunscNaming, Families: dropIn})
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
	b := NewBuilder(Options{Naming: RunscNaming, Families: dropIn})
	one := register(t, "sandmeter_sandboxes_started_total c", "sandmeter_sandboxes_lifetime_seconds_count c", "sandmeter_sandboxes_lifetime_seconds_min c")
	snap := withTotals(snapshotOf(sandbox("a", one)))
	names := Selection{Names: values("sandmeter_sandboxes_started_total", "sandmeter_sandboxes_lifetime_seconds_count", "sandmeter_sandboxes_lifetime_seconds_min", "meta_num_series_left_out")}
	expect(t, "collisions", b.Build(snap, names),
		"meta_num_series_left_out gauge: 2",
		"sandmeter_sandboxes_lifetime_seconds_min counter: a",
		totalsFamilies[3])
}

// TestLayoutIsKept: pages of shards and those of later snapshots share a layout as long as the schemas stay
// the same.
func TestLayoutIsKept(t *testing.T) {
	b := NewBuilder(Options{Prefix: "runsc_", Naming: RunscNaming, Families: dropIn})
	box := sandbox("b", register(t, "fs_opens c")) // in shard 1/2
	snap := withTotals(snapshotOf(box))
	b.Build(snap, Selection{})
	first := b.layout
	b.Build(snap, Selection{Sandboxes: snapshot.Selector{Shard: snapshot.Shard{Index: 1, Count: 2}}})
	b.Build(withTotals(snapshotOf(box)), Selection{})
	if b.layout != first {
		t.Error("the layout is made anew")
	}
	snap.Totals = nil
	b.Build(snap, Selection{})
	if b.layout == first {
		t.Error("the layout has totals that are gone")
	}
}

// TestTotalsAndRules: an operator's rules can exclude totals only by name.
func TestTotalsAndRules(t *testing.T) {
	check := func(what string, allow, deny []string, want ...string) {
		t.Helper()
		rules := NewSeriesRules(allow, deny)
		b := NewBuilder(Options{Prefix: "runsc_", Naming: RunscNaming, Families: dropIn, Series: rules})
		server := []string{"process_start_time_seconds gauge: ", "runsc_meta_metric_server_presence gauge: "}
		expect(t, what, b.Build(withTotals(snapshotOf()), Selection{}), append(server, want...)...)
	}
	check("allow others", []string{"runsc_.*"}, nil, totalsFamilies...)
	check("deny some", nil, []string{"sandmeter_sandboxes_(fs|life).*"}, totalsFamilies[0], totalsFamilies[3])
}
