package metricserver

import (
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

var update = flag.Bool("update", false, "write the golden files anew")

// Media types of the formats.
const (
	textFormat        = "text/plain; version=0.0.4"
	openMetricsFormat = "application/openmetrics-text; version=1.0.0"
	protobufFormat    = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
)

// TestGoldenPages compares whole pages of sandmeter serve with files. The server reads state files,
// queries simulated sandboxes, and measures them in a directory tree that stands for the host.
func TestGoldenPages(t *testing.T) {
	began := time.Now()
	n := newGoldenNode(t, mountsV2, serveOptions)
	n.populate()
	check := func(file, format string, change func(*Options)) (page string) {
		t.Helper()
		page = n.scrape(n.as(change), format)
		compareGolden(t, file, masker{n.dir, began}.mask(t, page))
		return page
	}
	page := check("serve.txt", textFormat, nil)
	lint(t, page)
	check("serve.openmetrics.txt", openMetricsFormat, func(*Options) {})
	check("serve.protobuf.txt", protobufFormat, nil)
	check("runsc-names.txt", textFormat, func(o *Options) { o.MetricNaming = RunscNaming })
	check("series-rules.txt", textFormat, func(o *Options) {
		o.MetricAllow = []string{"sandmeter_sandbox_(up|outcome|memory_bytes|cpu_seconds_total|network_.+)", "runsc_fs_(opens|latency).*"}
		o.MetricDeny = []string{"sandmeter_sandboxes_lifetime_.+", ".*_(min|max|ssd)"}
	})
}

// TestGoldenPageOfOneRoot is TestGoldenPages for a server of a single runtime root, on a host with
// cgroup v1, that serves snapshots again and limits how many sandboxes have series.
func TestGoldenPageOfOneRoot(t *testing.T) {
	began := time.Now()
	n := newGoldenNode(t, mountsV1, func(_ *goldenNode, o *Options) {
		o.ZeroCounters, o.MaxAge, o.MaxSandboxesWithSeries = nil, time.Nanosecond, 2
		o.TotalsBy = TotalsOff
	})
	idle := simulate.Spec{ID: "idle"}
	n.start(n.kubernetes, idle, useV1("/idle"))
	n.text()
	idle.ID = "busy"
	n.start(n.kubernetes, idle, useV1("/busy"))
	n.text()
	idle.ID = "another"
	n.start(n.kubernetes, idle, useV1("/another"))
	page := n.text()
	compareGolden(t, "one-root.txt", masker{n.dir, began}.mask(t, page))
	lint(t, page)
}

// golden returns the path of a golden page.
func golden(file string) string { return filepath.Join("testdata", "golden", file) }

// compareGolden compares a page with a file, or writes the file with -update.
func compareGolden(t *testing.T, file, page string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(golden(file), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden(file))
	if err != nil {
		t.Fatal(err)
	}
	if difference := differences(string(want), page); difference != "" {
		t.Errorf("the page differs from %s; go test -update rewrites it:\n%s", golden(file), difference)
	}
}

// differences returns the first lines that only one of two pages has. Lines of want begin with -, lines of
// got with +.
func differences(want, got string) string {
	const most = 40
	var found []string
	only := func(sign, page, other string) {
		known := make(map[string]bool)
		for line := range strings.Lines(other) {
			known[line] = true
		}
		for line := range strings.Lines(page) {
			if !known[line] {
				found = append(found, sign+line)
			}
		}
	}
	only("-", want, got)
	only("+", got, want)
	if want != got && found == nil {
		return "the lines are in another order"
	}
	return strings.Join(found[:min(most, len(found))], "")
}

// A masker replaces values that differ between runs. Everything else on a golden page is exact.
type masker struct {
	dir   string // of the node
	began time.Time
}

// masks are the placeholders, by name of the sample.
var masks = map[string]string{
	"sandmeter_collection_duration_seconds":       duration,
	"sandmeter_collection_received_bytes":         number, // the length of times in replies varies
	"sandmeter_snapshot_timestamp_seconds":        moment,
	"sandmeter_sandbox_query_duration_seconds":    duration,
	"sandmeter_sandbox_end_timestamp_seconds":     moment,
	"sandmeter_sandbox_lifetime_seconds":          duration,
	"sandmeter_sandboxes_lifetime_seconds_sum":    number,
	"sandmeter_sandboxes_lifetime_seconds_bucket": number, // except +Inf
	"sandmeter_sentry_cpu_seconds_total":          number, // of a real process
	"container_last_seen":                         moment,
}

// The placeholders. Each masked value has to be plausible.
const (
	duration = "<duration>" // in seconds, at most as long as the test
	moment   = "<time>"     // during the test
	number   = "<number>"   // not negative
)

var (
	sampleLine = regexp.MustCompile(`^([a-z0-9_]+)(\{.*\})? (\S+)(.*\n)$`)
	timestamp  = regexp.MustCompile(`^ \d{13}\n$`)
	build      = regexp.MustCompile(`(sandmeter_build_info\{)goarch="[^"]*",goos="[^"]*",goversion="[^"]*"`)
)

func (m masker) mask(t *testing.T, page string) string {
	t.Helper()
	var masked strings.Builder
	for line := range strings.Lines(strings.ReplaceAll(page, m.dir, "")) {
		line = build.ReplaceAllString(line, `${1}goarch="<goarch>",goos="<goos>",goversion="<goversion>"`)
		sample := sampleLine.FindStringSubmatch(line)
		if sample == nil {
			masked.WriteString(line)
			continue
		}
		name, labels, value, rest := sample[1], sample[2], sample[3], sample[4]
		if placeholder := masks[name]; placeholder != "" && !strings.Contains(labels, `le="+Inf"`) {
			m.check(t, line, placeholder, value)
			value = placeholder
		}
		masked.WriteString(name + labels + " " + value + timestamp.ReplaceAllString(rest, " <timestamp>\n"))
	}
	return masked.String()
}

// check reports a masked value that is not plausible.
func (m masker) check(t *testing.T, line, placeholder, text string) {
	t.Helper()
	const margin = 1 // the kernel rounds start times to hundredths of a second
	value, err := strconv.ParseFloat(text, 64)
	now := time.Now()
	plausible := value >= 0
	switch placeholder {
	case duration:
		plausible = value >= 0 && value <= now.Sub(m.began).Seconds()+margin
	case moment:
		plausible = value >= float64(m.began.Unix()-margin) && value <= float64(now.Unix()+margin)
	}
	if err != nil || !plausible {
		t.Errorf("implausible: %s", line)
	}
}

// lint reports each problem that Prometheus's linter finds in a page.
func lint(t *testing.T, page string) {
	t.Helper()
	problems, err := promlint.New(strings.NewReader(page)).Lint()
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems {
		t.Errorf("promlint says: %s: %s", p.Metric, p.Text)
	}
}
