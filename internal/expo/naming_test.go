package expo

import (
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// registrationTimes has metrics in nanoseconds.
const registrationTimes = `{"metrics":[
	{"name":"/wait","prometheus_name":"wait","description":"Time waited, in nanoseconds.","cumulative":true,"units":1},
	{"name":"/lag","prometheus_name":"lag","description":"Lag.","units":1},
	{"name":"/took","prometheus_name":"took","description":"Duration.","units":1,"type":1,"distribution_bucket_lower_bounds":[0,1500000,2000000000]},
	{"name":"/calls","prometheus_name":"calls","description":"Calls.","cumulative":true,"fields":[{"field_name":"no","allowed_values":["1","2"]}]}]}`

// timesPage returns a page in seconds, with zeros.
func timesPage(t testing.TB, timestamps bool) *page.Page {
	k := compileKind(t, registrationTimes)
	k.ShowZeros(schema.Zeros{Plain: true, Names: []string{"calls"}})
	snap := &snapshot.Snapshot{
		Sandboxes: []snapshot.Sandbox{
			k.sandbox(t, labels("1", "", "", "busy"), 0,
				k.point("wait", `,"val":{"int":9007199254740993}`),
				k.point("lag", `,"val":{"int":-1500000000}`),
				k.point("calls", `,"labels":{"no":"2"},"val":{"int":7}`),
				k.point("took", histogram(`"int":3000000001`, `"int":-1000`, `"float":2.5e9`, `"float":4e18`,
					`{"le":{"int":0},"n":1}`, `{"le":{"int":1500000},"n":1}`, `{"le":{"int":2000000000},"n":0}`, `{"le":{},"n":1}`))),
			k.sandbox(t, labels("2", "", "", "idle"), 0),
		},
	}
	rules := page.NewSeriesRules([]string{"runsc_.*"}, []string{"sandmeter_.*", "process_.*"}) // only reported families
	return page.NewBuilder(page.Options{Prefix: "runsc_", Naming: page.PrometheusNaming, Timestamps: timestamps, Series: rules}).Build(snap, page.Selection{})
}

// TestUnitsInSeconds: values and bounds are exact in text, and the zeros of an idle sandbox are there.
func TestUnitsInSeconds(t *testing.T) {
	const want = `# HELP runsc_calls_total Calls.
# TYPE runsc_calls_total counter
runsc_calls_total{iteration="1",no="1",sandbox="busy"} 0
runsc_calls_total{iteration="1",no="2",sandbox="busy"} 7
runsc_calls_total{iteration="2",no="1",sandbox="idle"} 0
runsc_calls_total{iteration="2",no="2",sandbox="idle"} 0
# HELP runsc_lag_seconds Lag.
# TYPE runsc_lag_seconds gauge
runsc_lag_seconds{iteration="1",sandbox="busy"} -1.5
# HELP runsc_took_seconds Duration.
# TYPE runsc_took_seconds histogram
runsc_took_seconds_bucket{iteration="1",sandbox="busy",le="0"} 1
runsc_took_seconds_bucket{iteration="1",sandbox="busy",le="0.0015"} 2
runsc_took_seconds_bucket{iteration="1",sandbox="busy",le="2"} 2
runsc_took_seconds_bucket{iteration="1",sandbox="busy",le="+Inf"} 3
runsc_took_seconds_sum{iteration="1",sandbox="busy"} 3.000000001
runsc_took_seconds_count{iteration="1",sandbox="busy"} 3
# HELP runsc_took_seconds_max Duration.
# TYPE runsc_took_seconds_max gauge
runsc_took_seconds_max{iteration="1",sandbox="busy"} 2.5
# HELP runsc_took_seconds_min Duration.
# TYPE runsc_took_seconds_min gauge
runsc_took_seconds_min{iteration="1",sandbox="busy"} -0.000001
# HELP runsc_took_seconds_ssd Duration.
# TYPE runsc_took_seconds_ssd gauge
runsc_took_seconds_ssd{iteration="1",sandbox="busy"} 4
# HELP runsc_wait_seconds_total Time waited, in seconds.
# TYPE runsc_wait_seconds_total counter
runsc_wait_seconds_total{iteration="1",sandbox="busy"} 9007199.254740993
runsc_wait_seconds_total{iteration="2",sandbox="idle"} 0
`
	if text := render(timesPage(t, false)); text != want {
		t.Errorf("the page is\n%s", text)
	}
	open := string(OpenMetrics{}.Append(nil, timesPage(t, false)))
	for _, want := range []string{"# TYPE runsc_wait_seconds counter\n", `runsc_took_seconds_bucket{iteration="1",sandbox="busy",le="0.0"} 1` + "\n", `le="0.0015"`, `le="2.0"`} {
		if !strings.Contains(open, want) {
			t.Errorf("%q is not in the OpenMetrics page\n%s", want, open)
		}
	}
}

// TestNoTimestamps: without timestamps, nothing else of a page changes.
func TestNoTimestamps(t *testing.T) {
	strip := func(text string) string {
		var without strings.Builder
		for line := range strings.Lines(text) {
			if !strings.HasPrefix(line, "#") {
				line = line[:strings.LastIndexByte(line, ' ')] + "\n"
			}
			without.WriteString(line)
		}
		return without.String()
	}
	for _, format := range []Format{Text{}, OpenMetrics{}} {
		with, without := string(format.Append(nil, timesPage(t, true))), string(format.Append(nil, timesPage(t, false)))
		if strip(with) != without {
			t.Errorf("%s\nwithout timestamps is\n%s", with, without)
		}
	}
}
