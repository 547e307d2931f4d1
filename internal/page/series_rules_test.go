package page

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"

	"github.com/sandmeter/sandmeter/internal/families"
)

func TestSeriesRules(t *testing.T) {
	snap := snapshotOf(reporting("a", register(t, "fs_opens c", "lat h", "lat_sum_x c", "uptime gn")), reporting("b", nil))
	const presence, leftOut = "sandmeter_metric_server_presence", "sandmeter_num_series_left_out"
	start, process := "process_start_time_seconds", "process_open_fds"
	snap.Process = []*dto.MetricFamily{{Name: &process}, {Name: &start}}
	const opens, latSum, uptime = "runsc_fs_opens_total", "runsc_lat_sum_x_total", "runsc_uptime_seconds"
	const lat, latMax, latMin, latSSD = "runsc_lat", "runsc_lat_max", "runsc_lat_min", "runsc_lat_ssd"
	const running, oom, containerStart = "sandmeter_sandbox_running", "sandmeter_sandbox_oom_kills_total", "sandmeter_container_start_time_seconds"
	const oomEvents, lastSeen, started = "container_oom_events_total", "container_last_seen", "container_start_time_seconds"
	server := []string{presence, leftOut, start, process}
	about := []string{opens, latSum, uptime, lat, latMax, latMin, latSSD, running, oom, containerStart, oomEvents, lastSeen, started}
	all := append(slices.Clone(server), about...)
	check := func(allow, deny string, want ...string) {
		t.Helper()
		r := NewSeriesRules(strings.Fields(allow), strings.Fields(deny))
		b := NewBuilder(Options{Prefix: "runsc_", Naming: PrometheusNaming, Families: families.Options{Usage: families.BothNames}, Series: r})
		for range 2 { // the second page has the layout of the first one
			got := namesOf(b.Build(snap, Selection{}))
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("allow %q, deny %q: got\n%s\nwant\n%s", allow, deny, strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		}
	}
	without := func(names ...string) []string {
		return slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(names, name) })
	}
	check("", "", all...)
	check("runsc_fs_opens_total", "", append(slices.Clone(server), opens)...)
	check("runsc_fs_opens", "", server...) // the name on the page
	check("fs_opens_total", "", server...) // with the prefix
	check("opens", "", server...)          // the whole name
	check("runsc_fs_opens_total|x", "", append(slices.Clone(server), opens)...)
	check("x|runsc_fs.*", "", append(slices.Clone(server), opens)...)
	check("runsc_fs.* sandmeter_sandbox_oom.*", "", append(slices.Clone(server), opens, oom)...)
	check(".*", "", all...)
	check("runsc_lat", "", append(slices.Clone(server), lat)...)
	check("runsc_lat_max", "", append(slices.Clone(server), latMax)...)
	check("(?i)RUNSC_UPTIME.*", "", append(slices.Clone(server), uptime)...)
	check("", "container_.*", without(oomEvents, lastSeen, started)...)
	check("", "sandmeter_sandbox_.* runsc_.*", without(opens, latSum, uptime, lat, latMax, latMin, latSSD, running, oom)...)
	check("", "process_.*", without(start, process)...)
	check("", "sandmeter_num.*", without(leftOut)...)
	check("", ".*")
	check("runsc_.*", "runsc_lat.*", append(slices.Clone(server), opens, uptime)...) // deny wins
	check(".*", ".*")
}

// namesOf returns the names of the families of a page that have samples, sorted.
func namesOf(p *Page) []string {
	var names []string
	for _, f := range p.Process {
		names = append(names, f.GetName())
	}
	for _, line := range strings.Split(show(p), "\n") {
		if name, _, ok := strings.Cut(line, " "); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// TestDeniedNamesAreFree: a denied family is not in the way of another one.
func TestDeniedNamesAreFree(t *testing.T) {
	newer, older := register(t, "h_sum c"), register(t, "h h")
	snap := snapshotOf(sandbox("a", newer), sandbox("b", older))
	build := func(deny ...string) *Page {
		return NewBuilder(Options{Prefix: "runsc_", Naming: RunscNaming, Series: NewSeriesRules(nil, append(deny, ".*(start|meta_metric|meta_sandbox|min|max|ssd).*"))}).Build(snap, Selection{})
	}
	expect(t, "both", build(), "runsc_h_sum counter: a", "runsc_meta_num_series_left_out gauge: 1")
	expect(t, "without the counter", build("runsc_h_sum"), "runsc_h histogram: b", "runsc_meta_num_series_left_out gauge: 0")
	expect(t, "without the histogram", build("runsc_h"), "runsc_h_sum counter: a", "runsc_meta_num_series_left_out gauge: 0")
}

func TestCheckPattern(t *testing.T) {
	check := func(pattern, want string) {
		t.Helper()
		if err := CheckPattern(pattern); fmt.Sprint(err) != want {
			t.Errorf("%q: %v, want %s", pattern, err, want)
		}
	}
	check("ok", "<nil>")
	check("a(", `missing closing ) in "a("`)
	check("a)|(b", `unexpected ) in "a)|(b"`)
	check("", "give a regular expression, such as runsc_fs_.*")
	check("*", `missing argument to repetition operator in "*"`)
	if r := NewSeriesRules(nil, nil); r != nil {
		t.Errorf("no rules are %v", r)
	}
}
