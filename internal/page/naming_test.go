package page

import (
	"testing"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

func TestPrometheusNaming(t *testing.T) {
	b := NewBuilder(Options{Prefix: "runsc_", Naming: PrometheusNaming, Families: dropIn})
	expect(t, "counters, gauges and times", b.Build(snapshotOf(sandbox("a", register(t,
		"fs_opens c", "fs_opens_host c", "seen_total c", "open g", "read_wait cn", "lag_nanoseconds gn", "took hn", "waited_seconds_total c"))), Selection{}),
		"process_start_time_seconds gauge: ",
		"runsc_fs_opens_host_total counter: a",
		"runsc_fs_opens_total counter: a",
		"runsc_lag_seconds gauge: a",
		"runsc_open gauge: a",
		"runsc_read_wait_seconds_total counter: a",
		"runsc_seen_total counter: a",
		"runsc_took_seconds histogram: a",
		"runsc_took_seconds_max gauge: a",
		"runsc_took_seconds_min gauge: a",
		"runsc_took_seconds_ssd gauge: a",
		"runsc_waited_seconds_total counter: a",
		"sandmeter_metric_server_presence gauge: ",
		"sandmeter_sandbox_running gauge: a")
	expect(t, "a filter matches the registered name", b.Build(snapshotOf(sandbox("a", register(t, "fs_opens c", "fs_reads c"))),
		Selection{Metrics: mustCompile(t, NewFilters(), "^fs_opens$")}),
		"process_start_time_seconds gauge: ",
		"runsc_fs_opens_total counter: a",
		"sandmeter_metric_server_presence gauge: ",
		"sandmeter_sandbox_running gauge: a")
	expect(t, "name[] matches the name on the page", b.Build(snapshotOf(sandbox("a", register(t, "fs_opens c", "fs_reads c"))),
		Selection{Names: snapshot.NewValues([]string{"runsc_fs_opens_total", "runsc_fs_reads"})}),
		"runsc_fs_opens_total counter: a")
}

// TestRenamedMetricCollides: a metric that keeps its name wins, wherever it comes from.
func TestRenamedMetricCollides(t *testing.T) {
	b := NewBuilder(Options{Prefix: "runsc_", Naming: PrometheusNaming, Families: dropIn})
	expect(t, "in one release", b.Build(snapshotOf(sandbox("a", register(t, "x c", "x_total c"))), Selection{}),
		"process_start_time_seconds gauge: ",
		"runsc_x_total counter: a",
		"sandmeter_metric_server_presence gauge: ",
		"sandmeter_num_series_left_out gauge: 1",
		"sandmeter_sandbox_running gauge: a")
	p := b.Build(snapshotOf(sandbox("a", register(t, "x c counted")), sandbox("b", register(t, "x_total c own"))), Selection{})
	expect(t, "in two releases", p,
		"process_start_time_seconds gauge: ",
		"runsc_x_total counter: b",
		"sandmeter_metric_server_presence gauge: ",
		"sandmeter_num_series_left_out gauge: 1",
		"sandmeter_sandbox_running gauge: a b")
	expect(t, "units that differ make two families", b.Build(snapshotOf(sandbox("a", register(t, "wait cn")), sandbox("b", register(t, "wait c"))), Selection{}),
		"process_start_time_seconds gauge: ",
		"runsc_wait_seconds_total counter: a",
		"runsc_wait_total counter: b",
		"sandmeter_metric_server_presence gauge: ",
		"sandmeter_sandbox_running gauge: a b")
	expect(t, "with the server's own family", NewBuilder(Options{Naming: PrometheusNaming, Families: dropIn}).Build(
		snapshotOf(sandbox("a", register(t, "sandmeter_log_lines_dropped c", "x c"))), Selection{}),
		"process_start_time_seconds gauge: ",
		"sandmeter_metric_server_presence gauge: ",
		"sandmeter_num_series_left_out gauge: 1",
		"sandmeter_sandbox_running gauge: a",
		"x_total counter: a")
}

// TestPrometheusHelp: a metric without a description has a HELP text all the same.
func TestPrometheusHelp(t *testing.T) {
	p := NewBuilder(Options{Naming: PrometheusNaming, Families: dropIn}).Build(snapshotOf(sandbox("a", register(t, "a_silent c"))), Selection{})
	if f := p.Families[0]; f.Name != "a_silent_total" || f.Help != "runsc registers this metric without a description." {
		t.Errorf("%s has HELP %q", f.Name, f.Help)
	}
}

// TestZeros: a family has the zeros of the sandboxes that register it and have metrics.
func TestZeros(t *testing.T) {
	s := register(t, "a_gauge g", "b_counter c", "c_histogram h")
	s.ShowZeros(schema.Zeros{Plain: true})
	expect(t, "zeros", NewBuilder(Options{Naming: RunscNaming, Families: dropIn}).Build(snapshotOf(sandbox("busy", s), silent("silent", s), sandbox("failed", nil)), Selection{}),
		"a_gauge gauge: busy",
		"b_counter counter: busy silent",
		"c_histogram histogram: busy",
		"c_histogram_max gauge: busy",
		"c_histogram_min gauge: busy",
		"c_histogram_ssd gauge: busy",
		"meta_metric_server_presence gauge: ",
		"meta_sandbox_running gauge: busy silent failed",
		"process_start_time_seconds gauge: ")
}
