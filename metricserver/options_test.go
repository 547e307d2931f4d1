package metricserver

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/families"
)

func TestDefaults(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/1000")
	before := time.Now()
	s, err := New(Options{Addresses: []string{":0"}})
	if err != nil {
		t.Fatal(err)
	}
	o := s.options
	if o.StartTime.Before(before) || o.StartTime.After(time.Now()) {
		t.Errorf("the start time is %v", o.StartTime)
	}
	if o.Logger == nil || o.Logger.Handler() != slog.DiscardHandler {
		t.Errorf("the logger is %v", o.Logger)
	}
	o.StartTime, o.Logger = time.Time{}, nil
	want := Options{Roots: []string{"/run/user/1000/runsc"}, TelemetryPath: "/metrics", Addresses: []string{":0"}, ExporterPrefix: "runsc_", MetricNaming: PrometheusNaming, Usage: []string{UsageOwn}, ZeroCounters: []string{ZeroCountersOff}, TotalsBy: TotalsByNone, SandboxTimeout: 2 * time.Second, SocketMode: 0o660}
	if fmt.Sprint(o) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", o, want)
	}
}

func TestRuntimeRootInAddresses(t *testing.T) {
	s, err := New(Options{Roots: []string{"/r"}, Addresses: []string{"%RUNTIME_ROOT%/a"}, MatchAddress: "%RUNTIME_ROOT%/b"})
	if err != nil {
		t.Fatal(err)
	}
	// Expanded per root.
	if s.options.Addresses[0] != "/r/a" || s.options.MatchAddress != "%RUNTIME_ROOT%/b" {
		t.Errorf("addresses are %q and %q", s.options.Addresses, s.options.MatchAddress)
	}
}

func TestPrefix(t *testing.T) {
	takes := func(o Options, want string) {
		t.Helper()
		if s, err := New(o); err != nil || s.options.ExporterPrefix != want {
			t.Errorf("prefix %q: %v, %v, want %q", o.ExporterPrefix, s, err, want)
		}
	}
	takes(Options{}, "runsc_")
	takes(Options{ExporterPrefix: "Gvisor_2"}, "Gvisor_2")
	takes(Options{ExporterPrefix: "a:b"}, "a:b")
	takes(Options{DropIn: true}, "")
	refuses := func(want string, prefixes ...string) {
		t.Helper()
		for _, prefix := range prefixes {
			if _, err := New(Options{ExporterPrefix: prefix}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("prefix %q: %v, want %s", prefix, err, want)
			}
		}
	}
	refuses("are reserved", "sandmeter_", "process_x_", "go_", "container_")
	refuses(": use letters, digits and underscores, no digit first: Prometheus refuses other names", " ", "2x", "a-b", "ä_", "a_\n")
}

func TestOptionErrors(t *testing.T) {
	check := func(o Options, want string) {
		t.Helper()
		s, err := New(o)
		if err == nil || err.Error() != want || s != nil {
			t.Errorf("%+v: %v, want %s", o, err, want)
		}
	}
	check(Options{Roots: []string{""}}, `root "": give a path`)
	check(Options{Roots: []string{"/a", "/b/["}}, `root "/b/[": the glob is invalid: escape [, * and ? with a backslash if they are part of a name`)
	check(Options{Addresses: []string{":0", "x"}}, `web.listen-address "x": give host:port, :port or the absolute path of a Unix socket`)
	check(Options{SocketMode: 0o1777}, `web.socket-mode "01777": give an octal number such as 0660`)
	check(Options{TelemetryPath: "/a/"}, `web.telemetry-path "/a/": give a path such as /metrics, of letters, digits and . _ ~ -`)
	check(Options{MetricNaming: "other"}, `metric-naming "other": choose prometheus or runsc`)
	check(Options{MaxAge: -1, SandboxTimeout: -1, ExporterPrefix: "go_"}, "sandbox-timeout \"-1ns\": must be positive\nmax-age \"-1ns\": must not be negative\n"+
		"exporter-prefix \"go_\": names that begin with go_ are reserved")
	for _, host := range []string{"", "a:80", "[::1]", "http://a", "a b", "*"} {
		check(Options{AllowedHosts: []string{"fine.example", host}}, fmt.Sprintf("web.allowed-hosts %q: give a host name without port; IP addresses are always allowed", host))
	}
	check(Options{Usage: []string{"both"}}, `usage "both": choose own, cadvisor, detail or off`)
	check(Options{Usage: []string{UsageDetail}}, "usage: detail is in addition to own, cadvisor or both")
	check(Options{Usage: []string{UsageOff, UsageDetail}}, "usage: off excludes other values")
	check(Options{ZeroCounters: []string{"on"}}, `zero-counters "on": give all, off, or names of counters as runsc registers them, such as fs_opens`)
	check(Options{ZeroCounters: []string{ZeroCountersAll, ZeroCountersOff}}, "zero-counters: off excludes other values")
	check(Options{Runsc: []string{"/x", RunscOff}}, "runsc: off excludes other values")
	check(Options{MetricAllow: []string{"ok", "a("}, MaxSandboxesWithSeries: -1},
		"metric-allow \"a(\": missing closing ) in \"a(\"\nmax-sandboxes-with-series \"-1\": must not be negative")
	check(Options{MetricDeny: []string{"*"}}, `metric-deny "*": missing argument to repetition operator in "*"`)
	check(Options{FinalMetricsLog: "/run/final.log"}, `final-metrics-log "/run/final.log": add %ID%: without it, all sandboxes write to the same file and truncate it`)
	check(Options{FinalMetricsLog: "final/%ID%"}, `final-metrics-log "final/%ID%": the path must be absolute, because runsc and the server run in different directories`)
	check(Options{FinalRecords: "/r,max-size=big"}, `final-records "/r,max-size=big": give the size as a whole number of megabytes, such as FILE,max-size=10`)
	check(Options{TotalsBy: "pod"}, `totals-by "pod": use none, namespace, or annotation:KEY, or off`)
	check(Options{TotalsBy: "annotation:"}, `totals-by "annotation:": give the key of an annotation, such as annotation:example.com/team, or off`)
	check(Options{TotalsBy: TotalsOff, TotalsMetrics: []string{"fs_opens"}}, "totals-metric: there are no totals with totals-by off")
	check(Options{TotalsMetrics: []string{"failed"}},
		`totals-metric "failed": the name of its family, sandmeter_sandboxes_failed_total, conflicts with sandmeter_sandboxes_failed: leave it out`)
	check(Options{Linger: -time.Second}, `linger "-1s": must not be negative`)
}

// TestTotals: a server has totals by default, and a drop-in only if an option asks for them.
func TestTotals(t *testing.T) {
	check := func(o Options, want bool, annotation string) {
		t.Helper()
		s, err := New(o)
		if err != nil {
			t.Fatal(err)
		}
		if ledger, key := s.options.ledger(); (ledger != nil) != want || key != annotation {
			t.Errorf("%+v: totals %t, annotation %q", o, ledger != nil, key)
		}
	}
	check(Options{}, true, "")
	check(Options{TotalsBy: TotalsByAnnotation + "example.com/team"}, true, "example.com/team")
	check(Options{TotalsBy: TotalsOff}, false, "")
	check(Options{DropIn: true}, false, "")
	check(Options{DropIn: true, TotalsBy: TotalsByNone}, true, "")
	check(Options{DropIn: true, TotalsMetrics: []string{"fs_opens"}}, true, "")
}

// TestUsageNames: pages have only the names of usage that are selected.
func TestUsageNames(t *testing.T) {
	check := func(want families.UsageNames, usage ...string) {
		t.Helper()
		if got := (&Options{Usage: usage}).usageNames(); got != want {
			t.Errorf("%q: %v, want %v", usage, got, want)
		}
	}
	check(families.OwnNames, UsageOwn, UsageDetail)
	check(families.CadvisorNames, UsageCadvisor)
	check(families.BothNames, UsageOwn, UsageCadvisor)
}
