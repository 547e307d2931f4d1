package families

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// all returns the schemas of all families.
func all() []*schema.Schema {
	return []*schema.Schema{Server, Sandbox, Usage, Cadvisor, TotalsSchema([]snapshot.TotalsCounter{{Name: "fs_opens"}}, true, true)}
}

// TestNames: names are sorted, distinct over all tables, and follow Prometheus's rules. The families
// that gVisor's metric server has too keep its names.
func TestNames(t *testing.T) {
	taken := make(map[string]bool)
	for _, s := range all() {
		if !slices.IsSortedFunc(s.Metrics, func(a, b schema.Metric) int { return strings.Compare(a.Name, b.Name) }) {
			t.Errorf("the families from %s on are not sorted", s.Metrics[0].Name)
		}
		for _, m := range s.Metrics {
			if taken[m.Name] || m.Help == "" {
				t.Errorf("%s is there twice, or has no help", m.Name)
			}
			taken[m.Name] = true
			if strings.HasPrefix(m.Name, "meta_") {
				continue
			}
			if total := strings.HasSuffix(m.Name, "_total"); total != (m.Type == schema.Counter) {
				t.Errorf("%s is a %s", m.Name, m.Type)
			}
			isTime := strings.Contains(m.Name, "_seconds")
			if isTime != (m.Unit == schema.Nanoseconds || m.Float && m.Name != "sandmeter_container_limit_cpu_cores" && !strings.HasSuffix(m.Name, "_ratio") && m.Name != "container_last_seen") {
				t.Errorf("%s: float is %t, and the unit %s", m.Name, m.Float, m.Unit)
			}
		}
	}
}

// whole returns a snapshot that has every fact: of a sandbox that runs, one that has failed, and one that
// has ended.
func whole() *snapshot.Snapshot {
	known, ratio := fact.Of(int64(1), true), snapshot.Ratio{Value: 1, Known: true}
	identity := &snapshot.Identity{
		Labels: &snapshot.Labels{Sandbox: "a"}, CreatedAt: time.Unix(10, 0),
		Containers: []snapshot.Container{
			{ID: "p", Pause: true},
			{ID: "c", CPULimit: 1, MemoryLimit: 2, CPUQuota: 3, CPUPeriod: 4, CPUShares: 5},
			{ID: "d"},
		},
		Spec: &snapshot.Spec{Capabilities: []string{"KILL"}},
	}
	usage := &snapshot.Usage{
		Unknown: []fact.Reason{fact.NetworkShared}, Unattributed: known, Shares: []snapshot.Share{{ID: "c", Name: "c", CPU: 1}},
		Memory: []fact.Figure{known, known, known}, Processes: []fact.Figure{known, known, known},
		Differences: snapshot.Differences{CPU: ratio, Memory: ratio, NetworkTransmit: ratio},
	}
	usage.Interfaces = []fact.Interface{{Name: "eth0"}, {Name: "eth1"}}
	for q := range fact.Quantities {
		usage.Set(q, int64(q)+1)
	}
	reported := snapshot.Source{Labels: identity.Labels, Schema: schema.New(nil)}
	counts := snapshot.Counters{ConnectionsClosed: known, ExitEventsMissing: known, FinalLogsRefused: known, FinalRecordsDropped: known, FinalRecordsWritten: known,
		InotifyOverflows: known, LogLinesDropped: known, ResponsesCutOff: known, Unregistrations: known}
	return &snapshot.Snapshot{
		Began: time.Unix(20, 0), Time: time.Unix(21, 0),
		Roots: []snapshot.Root{{Path: "/r", Err: fs.ErrNotExist, Unreadable: []snapshot.FileError{{}}}, {Path: "/s"}},
		Sandboxes: []snapshot.Sandbox{
			{Identity: identity, Phase: snapshot.Running, Query: snapshot.Query{Took: time.Second}, Reported: reported, Usage: usage},
			{Identity: identity, Phase: snapshot.Running, Query: snapshot.Query{Failure: failure.New(failure.Stalled, errors.New("x"))}},
			{Identity: identity, Phase: snapshot.Ended, End: &snapshot.End{Outcome: snapshot.Exited, Lifetime: time.Second}, Usage: usage},
		},
		Server: snapshot.Server{Counters: counts},
		Totals: &snapshot.Totals{Grouped: true, Measured: true, Counters: []snapshot.TotalsCounter{{Name: "fs_opens"}},
			Groups: []snapshot.TotalsGroup{{Name: "g", Counters: []int64{1}, Ended: make([]int64, len(snapshot.Outcomes))}}},
	}
}

// sourcesOf returns all sources of a snapshot.
func sourcesOf(f *Families, snap *snapshot.Snapshot) []snapshot.Source {
	samples := f.Of(snap)
	sources := []snapshot.Source{f.Server(snap, 1), samples.Totals}
	for _, s := range samples.Sandboxes {
		sources = append(sources, s.State, s.Usage, s.Cadvisor)
	}
	return sources
}

// TestEveryFamily: each family of the tables has a value for a snapshot that has every fact.
func TestEveryFamily(t *testing.T) {
	have := make(map[string]bool)
	for _, source := range sourcesOf(New(Options{Usage: BothNames, ShowTime: true}), whole()) {
		for _, s := range source.Samples {
			have[source.Metric(s).Name] = true
		}
	}
	for _, s := range all() {
		for _, m := range s.Metrics {
			if !have[m.Name] {
				t.Errorf("%s has a row and no value", m.Name)
			}
		}
	}
}

// TestEveryQuantity: each quantity of the host has a sample with its value.
func TestEveryQuantity(t *testing.T) {
	for q := range fact.Quantities {
		usage := new(snapshot.Usage)
		usage.Set(q, 7e9)
		snap := &snapshot.Snapshot{Sandboxes: []snapshot.Sandbox{{Identity: &snapshot.Identity{Labels: new(snapshot.Labels)}, Phase: snapshot.Running, Usage: usage}}}
		source := New(Options{}).Of(snap).Sandboxes[0].Usage
		if !slices.ContainsFunc(source.Samples, func(s snapshot.Sample) bool {
			return source.Metric(s).Float && s.Float() == 7 || !source.Metric(s).Float && s.Value == 7e9
		}) {
			t.Errorf("no family has quantity %d", q)
		}
	}
}

// TestSourcesAreInOrder: samples are in the order of their metrics, as pages need them, and the sizes are
// those of the samples.
func TestSourcesAreInOrder(t *testing.T) {
	for _, source := range sourcesOf(New(Options{Usage: BothNames}), whole()) {
		if source.Schema == nil {
			continue
		}
		if !slices.IsSortedFunc(source.Samples, func(a, b snapshot.Sample) int { return int(a.Metric - b.Metric) }) {
			t.Errorf("%v", source.Samples)
		}
		if size := source.MeasureText(); source.TextSize != size {
			t.Errorf("the size is %d, want %d", source.TextSize, size)
		}
	}
}

// TestUniqueSeries: no two samples of a source are of the same series.
func TestUniqueSeries(t *testing.T) {
	for _, source := range sourcesOf(New(Options{Usage: BothNames, ShowTime: true}), whole()) {
		taken := make(map[string]bool)
		for _, s := range source.Samples {
			series := source.Metric(s).Name
			if source.Metric(s).Open {
				series += fmt.Sprint(source.Sets[s.Series].Pairs)
			}
			if taken[series] {
				t.Errorf("%s is there twice", series)
			}
			taken[series] = true
		}
	}
}

// TestEnded: a sandbox that has ended has no gauges of usage.
func TestEnded(t *testing.T) {
	f := New(Options{})
	for range 3 { // also with the memory of an earlier conversion
		if state, server := f.Of(whole()).Sandboxes[0].State, f.Server(whole(), 0); len(state.Samples) < 10 || len(server.Samples) < 20 {
			t.Fatalf("%d and %d samples of a running sandbox and the server", len(state.Samples), len(server.Samples))
		}
	}
	source := f.Of(whole()).Sandboxes[2].Usage
	for _, s := range source.Samples {
		if m := source.Metric(s); m.Type == schema.Gauge {
			t.Errorf("%s is there", m.Name)
		}
	}
	if len(source.Samples) == 0 {
		t.Error("there are no counters")
	}
}

// TestDropIn: the drop-in server has the families of gVisor's server, and those of others that report a
// problem.
func TestDropIn(t *testing.T) {
	names := func(snap *snapshot.Snapshot, leftOut int) (names []string) {
		f := New(Options{DropIn: true})
		for _, source := range []snapshot.Source{f.Server(snap, leftOut), f.Of(snap).Sandboxes[0].State} {
			for _, s := range source.Samples {
				if name := source.Metric(s).Name; strings.HasPrefix(name, "sandmeter_") || strings.Contains(name, "left_out") || strings.Contains(name, "unreadable") {
					names = append(names, name)
				}
			}
		}
		return slices.Compact(names)
	}
	fine := whole()
	fine.Roots, fine.Server.Counters = []snapshot.Root{{Path: "/r"}}, snapshot.Counters{ResponsesCutOff: fact.Of(int64(0), true)}
	if got := names(fine, 0); got != nil {
		t.Errorf("without problems there are %q", got)
	}
	want := []string{"meta_num_series_left_out", "meta_num_state_files_unreadable", "sandmeter_client_connections_closed_total", "sandmeter_exit_events_missing_total",
		"sandmeter_final_metrics_logs_refused_total", "sandmeter_final_records_dropped_total", "sandmeter_final_records_written_total",
		"sandmeter_inotify_overflows_total", "sandmeter_log_lines_dropped_total", "sandmeter_over_budget", "sandmeter_responses_cut_off_total",
		"sandmeter_runtime_root_hung", "sandmeter_runtime_root_missing", "sandmeter_runtime_root_readable", "sandmeter_runtime_roots_left_out", "sandmeter_unregistrations_total"}
	bad := whole()
	bad.Server.RootsLeftOut, bad.Server.Sandboxes.Failures = 1, map[failure.Reason]int{failure.PageBudget: 1}
	if got := names(bad, 1); !slices.Equal(got, want) {
		t.Errorf("with problems there are\n%q, want\n%q", got, want)
	}
}

// TestOutcomes: the exit status of a sandbox that failed, and the signal that killed one, are labels.
func TestOutcomes(t *testing.T) {
	check := func(e snapshot.End, want string) {
		t.Helper()
		if got := fmt.Sprint(outcomeSet(&e).Pairs); got != want {
			t.Errorf("%+v has labels %s, want %s", e, got, want)
		}
	}
	check(snapshot.End{Outcome: snapshot.Exited}, "[{outcome exited}]")
	check(snapshot.End{Outcome: snapshot.Failed, Code: 3}, "[{exit_code 3} {outcome failed}]")
	check(snapshot.End{Outcome: snapshot.Failed, Code: 137}, "[{exit_code 137} {outcome failed}]") // never a signal
	check(snapshot.End{Outcome: snapshot.Killed, Signal: 9}, "[{outcome killed} {signal 9}]")
	check(snapshot.End{Outcome: snapshot.OOMKilled, Signal: 9}, "[{outcome oom_killed} {signal 9}]")
	check(snapshot.End{Outcome: snapshot.OOMKilled}, "[{outcome oom_killed}]")
	check(snapshot.End{Outcome: snapshot.OOMKilled, Signal: 9, OOMScope: fact.OOMAncestor}, "[{oom_scope ancestor} {outcome oom_killed} {signal 9}]")
	check(snapshot.End{Outcome: snapshot.Exited, Code: 1, Signal: 1}, "[{outcome exited}]") // only with their outcomes
	check(snapshot.End{Outcome: snapshot.Vanished}, "[{outcome vanished}]")
}

// TestReuse: samples and label sets of facts that have not changed are those of the last snapshot, and a
// snapshot is converted once.
func TestReuse(t *testing.T) {
	f, derived := New(Options{Usage: BothNames}), new(atomic.Value)
	snapshotOf := func(change func(*snapshot.Snapshot)) *SandboxSamples {
		snap := whole()
		snap.Sandboxes = snap.Sandboxes[:1]
		snap.Sandboxes[0].Derived, snap.Derived = derived, new(schema.Memo)
		if change != nil {
			change(snap)
		}
		samples := f.Of(snap)
		if f.Of(snap) != samples {
			t.Error("the snapshot is converted again")
		}
		return samples.Sandboxes[0]
	}
	same := func(a, b *snapshot.Source) bool {
		return &a.Samples[0] == &b.Samples[0] && slices.Equal(a.Sets, b.Sets) && a.TextSize == b.TextSize
	}
	identity := whole().Sandboxes[0].Identity
	first := snapshotOf(func(s *snapshot.Snapshot) { s.Sandboxes[0].Identity = identity })
	second := snapshotOf(func(s *snapshot.Snapshot) { s.Sandboxes[0].Identity = identity })
	if !same(&first.State, &second.State) || !same(&first.Usage, &second.Usage) || !same(&first.Cadvisor, &second.Cadvisor) {
		t.Error("the same facts are other samples")
	}
	third := snapshotOf(func(s *snapshot.Snapshot) {
		s.Sandboxes[0].Identity = identity
		s.Sandboxes[0].Usage.Interfaces[0].Name = "eth1"
		s.Sandboxes[0].Usage.Shares[0].ID = "d"
		s.Sandboxes[0].Usage.EqualMemory = true
	})
	for _, set := range slices.Concat(third.Usage.Sets, third.Cadvisor.Sets) {
		for _, l := range set.Pairs {
			if l.Value == "eth0" || l.Value == "none" {
				t.Errorf("old label %v", l)
			}
		}
	}
}
