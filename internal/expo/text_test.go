package expo

import (
	"flag"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/verify"
)

var update = flag.Bool("update", false, "write the golden files anew")

// registrationA and registrationB are the registrations of two gVisor releases. They share metrics,
// but differ in the type of net_open and the help text of fs_opens.
const (
	registrationA = `{"metrics":[
		{"name":"/fs/opens","prometheus_name":"fs_opens","description":"Number of file opens.","cumulative":true},
		{"name":"/net/open","prometheus_name":"net_open","description":"Open connections."},
		{"name":"/unused","prometheus_name":"unused","description":"Nobody has this."},
		{"name":"/calls","prometheus_name":"calls","description":"Calls of \"all\" kinds,\nC:\\new \u00e9.","cumulative":true,"fields":[
			{"field_name":"zone","allowed_values":["z"]},
			{"field_name":"result","allowed_values":["ok","\"bad\"\n"]},
			{"field_name":"opcode","allowed_values":["1","2"]},
			{"field_name":"kind","allowed_values":["read","C:\\write"]},
			{"field_name":"arg","allowed_values":["", "x"]}]},
		{"name":"/gofer/latency","prometheus_name":"gofer_latency","description":"Latency.","type":1,"distribution_bucket_lower_bounds":[-5,10,2000],
			"fields":[{"field_name":"op","allowed_values":["get","put"]}]},
		{"name":"/boot","prometheus_name":"boot","description":"","type":1,"distribution_bucket_lower_bounds":[1]}
	]}`
	registrationB = `{"metrics":[
		{"name":"/fs/opens","prometheus_name":"fs_opens","description":"How often a file was opened.","cumulative":true},
		{"name":"/a/new/one","prometheus_name":"a_new_one","description":"Only later releases have this."},
		{"name":"/net/open","prometheus_name":"net_open","description":"Connections opened.","cumulative":true},
		{"name":"/zz","prometheus_name":"zz","description":"The last one."}
	]}`
)

const pageTime = 1795338783582

// kind is the schema of a registration.
type kind struct{ *schema.Schema }

func compileKind(t testing.TB, registration string) kind {
	t.Helper()
	s, err := schema.Compile([]byte(registration))
	if err != nil {
		t.Fatal(err)
	}
	return kind{s}
}

// point returns a data point for a metric. members are further fields of its JSON, each with a
// leading comma.
func (k kind) point(name, members string) string {
	return `{"metric":{"name":"` + name + string(k.Metrics[k.Find([]byte(name))].Definition) + members + `}`
}

// replyOf returns the reply from a sandbox with the points.
func replyOf(points ...string) []byte {
	return []byte(`{"success":true,"err":"","result":{"snapshot":{"when":"` + time.UnixMilli(pageTime).Format(time.RFC3339Nano) +
		`","data":[` + strings.Join(points, ",") + `]}}}`)
}

// sandbox returns a sandbox that reports the points ms milliseconds after pageTime, as verify accepts them.
func (k kind) sandbox(t testing.TB, labels *snapshot.Labels, ms int64, points ...string) snapshot.Sandbox {
	t.Helper()
	b, err := new(verify.Verifier).Export(control.NewReply(replyOf(points...)), k.Schema, verify.Baseline{}, time.UnixMilli(pageTime))
	if err != nil {
		t.Fatal(err)
	}
	return running(snapshot.Source{Labels: labels, Schema: k.Schema, Time: pageTime + ms, Samples: b.Samples, Histograms: b.Histograms})
}

// running returns a sandbox that reported metrics.
func running(reported snapshot.Source) snapshot.Sandbox {
	return snapshot.Sandbox{
		Identity: &snapshot.Identity{Labels: reported.Labels, CreatedAt: time.Unix(0, 100)},
		Phase:    snapshot.Running,
		Reported: reported,
	}
}

func labels(iteration, namespace, pod, sandbox string) *snapshot.Labels {
	return &snapshot.Labels{Iteration: iteration, Namespace: namespace, Pod: pod, Sandbox: sandbox}
}

// serverStart is when the server started.
var serverStart = time.UnixMicro(1795338760112779)

// build returns the page of a snapshot, without some families that each snapshot has: formats treat
// them like others.
func build(snap *snapshot.Snapshot) *page.Page { return buildSince(serverStart, snap) }

// ownSeries is how many series of the server's own a sandbox with metrics has on a page of build, if it
// has no spec.
const ownSeries = 2

// buildSince is build for a server that started at another time.
func buildSince(start time.Time, snap *snapshot.Snapshot) *page.Page {
	rules := page.NewSeriesRules(nil, []string{
		"runsc_meta_num_sandboxes_(broken_metrics|checkpointed|restored|running)",
		"runsc_meta_sandbox_(checkpointed|cpu_time_saved_milliseconds|presence|restored|running)",
		"runsc_meta_spec_metadata",
	})
	options := page.Options{Prefix: "runsc_", Naming: page.RunscNaming, Timestamps: true, Series: rules, Families: families.Options{DropIn: true, StartTime: start}}
	return page.NewBuilder(options).Build(snap, page.Selection{})
}

// nothingOf returns a page of a snapshot from which a request selects nothing.
func nothingOf(snap *snapshot.Snapshot) *page.Page {
	return page.NewBuilder(page.Options{Prefix: "runsc_", Naming: page.RunscNaming}).Build(snap, page.Selection{Names: snapshot.NewValues([]string{"none"})})
}

// exported returns a page of the metrics that a sandbox reported, without other families.
func exported(s snapshot.Sandbox) *page.Page {
	return page.NewBuilder(page.Options{Prefix: "runsc_", Naming: page.RunscNaming, Timestamps: true}).BuildReported(&s, nil)
}

func render(p *page.Page) string { return string(Text{}.Append(nil, p)) }

// histogram returns the JSON field histogram, with a leading comma.
func histogram(total, min, max, ssd string, buckets ...string) string {
	return fmt.Sprintf(`,"histogram":{"total":{%s},"min":{%s},"max":{%s},"ssd":{%s},"buckets":[%s]}`, total, min, max, ssd, strings.Join(buckets, ","))
}

// golden returns a snapshot that covers all features.
func golden(t testing.TB) *snapshot.Snapshot {
	a, b := compileKind(t, registrationA), compileKind(t, registrationB)
	plain := labels("1af6dvkjq949g", "", "", "a-plain")
	pod := labels("33sp8vo18t24b", "prod-ns", "nginx-7d8b49557c-abcde", "b-pod")
	nasty := labels("39c9fawht4m8d", "n\\s \"x\"", "evil\"} 1 1\nforged_metric 1\t\xff\xfe\x1b[1m é", "c-nasty")
	calls := func(arg, kind, opcode, result, value string) string {
		return a.point("calls", fmt.Sprintf(`,"labels":{"arg":"%s","kind":"%s","opcode":"%s","result":"%s","zone":"z"},"val":{%s}`, arg, kind, opcode, result, value))
	}
	snap := &snapshot.Snapshot{
		Time:   time.UnixMilli(pageTime),
		Server: snapshot.Server{Sandboxes: snapshot.Census{Served: 3, Failures: map[failure.Reason]int{failure.PageBudget: 2}}},
		Sandboxes: []snapshot.Sandbox{
			a.sandbox(t, plain, 0,
				a.point("fs_opens", `,"val":{"int":8}`),
				a.point("net_open", `,"val":{}`),
				a.point("boot", histogram(`"float":1.5`, `"float":1e-9`, `"float":1e300`, `"float":0.25`, `{"le":{"int":1},"n":0}`, `{"le":{},"n":2}`))),
			a.sandbox(t, pod, -3,
				a.point("fs_opens", `,"val":{"int":9223372036854775807}`),
				a.point("net_open", `,"val":{"int":-7}`),
				calls("x", `C:\\write`, "2", `\"bad\"\n`, `"int":2`),
				calls("", "read", "1", "ok", `"int":1`),
				a.point("gofer_latency", `,"labels":{"op":"put"}`+histogram(`"int":90`, `"int":-9`, `"int":3000`, `"float":1e21`,
					`{"le":{"int":-5},"n":1}`, `{"le":{"int":10},"n":0}`, `{"le":{"int":2000},"n":2}`, `{"le":{},"n":3}`)),
				a.point("gofer_latency", `,"labels":{"op":"get"}`+histogram(``, ``, ``, ``,
					`{"le":{"int":-5},"n":0}`, `{"le":{"int":10},"n":0}`, `{"le":{"int":2000},"n":0}`, `{"le":{},"n":0}`))),
			a.sandbox(t, nasty, 1, calls("", "read", "1", "ok", ``)),
			b.sandbox(t, labels("1", "", "", "d-other"), 0,
				b.point("a_new_one", `,"val":{"int":1}`),
				b.point("fs_opens", `,"val":{"int":2}`),
				b.point("net_open", `,"val":{"int":3}`),
				b.point("zz", `,"val":{"int":4}`)),
			b.sandbox(t, labels("1", "", "", "e-silent"), 0),
			a.sandbox(t, labels("1", "", "", "f-last"), -pageTime, a.point("fs_opens", `,"val":{"int":0}`)),
		},
	}
	for i, metadata := range map[int][]snapshot.Pair{
		0: {{Name: "version", Value: "1"}, {Name: "coretags", Value: "false"}},
		2: {{Name: "version", Value: "\"\\\n"}},
	} {
		snap.Sandboxes[i].Spec = &snapshot.Spec{Metadata: metadata}
		snap.Sandboxes[i].WallSaved = -76 * time.Millisecond
	}
	return snap
}

func TestGoldenPage(t *testing.T) {
	p := build(golden(t))
	text := render(p)
	wantGolden(t, "testdata/page.golden", text)
	if again := string(Text{}.Append([]byte("before\n"), p)); again != "before\n"+text {
		t.Errorf("a second time the page is another:\n%s", again)
	}
}

// wantGolden fails the test unless a page is that of a file, or writes it.
func wantGolden(t *testing.T, file, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if text != string(want) {
		t.Errorf("the page is not that of %s; go test -update writes it anew. It is\n%s", file, text)
	}
}

func TestEmptyPage(t *testing.T) {
	silent := compileKind(t, registrationA).sandbox(t, labels("1", "", "", "a"), 0)
	if text := string(OpenMetrics{}.Append(nil, nothingOf(new(snapshot.Snapshot)))); text != "# EOF\n" {
		t.Errorf("OpenMetrics: %q", text)
	}
	for what, p := range map[string]*page.Page{
		"without sandboxes":                 nothingOf(new(snapshot.Snapshot)),
		"of a sandbox":                      nothingOf(&snapshot.Snapshot{Sandboxes: []snapshot.Sandbox{silent}}),
		"of a silent sandbox's own metrics": exported(silent),
	} {
		if text := render(p); text != "" {
			t.Errorf("a page %s: %q", what, text)
		}
	}
}

// TestConcurrentPages: several goroutines build and render pages of one snapshot, and all of them build
// the label texts that are built once.
func TestConcurrentPages(t *testing.T) {
	rules := page.NewSeriesRules(nil, []string{"runsc_fs_.*"})
	b := page.NewBuilder(page.Options{Prefix: "runsc_", Naming: page.PrometheusNaming, Series: rules})
	snap, texts := golden(t), make(chan string)
	for range 4 {
		go func() { texts <- render(b.Build(snap, page.Selection{})) }()
	}
	first := <-texts
	for range 3 {
		if text := <-texts; text != first {
			t.Error("two pages differ")
		}
	}
}

func TestAppendFloat(t *testing.T) {
	float := func(f float64, want string) {
		t.Helper()
		got := string(appendFloat(nil, f))
		if got != want {
			t.Errorf("%g is %s, want %s", f, got, want)
		}
		if back, err := strconv.ParseFloat(got, 64); err != nil || math.Float64bits(back) != math.Float64bits(f) && f == f {
			t.Errorf("%g reads back as %g, %v", f, back, err)
		}
	}
	float(0, "0")
	float(math.Copysign(0, -1), "-0")
	float(-1.5, "-1.5")
	float(1795338760.112779, "1795338760.112779")
	float(1e-6, "0.000001")
	float(9.5e-7, "9.5e-07")
	float(1e20, "100000000000000000000")
	float(1e21, "1e+21")
	float(math.SmallestNonzeroFloat64, "5e-324")
	float(math.MaxFloat64, "1.7976931348623157e+308")
	float(math.Inf(1), "+Inf")
	float(math.Inf(-1), "-Inf")
	float(math.NaN(), "NaN")
}

// TestAllocations: rendering a page does not allocate per sandbox or sample.
func TestAllocations(t *testing.T) {
	snap := golden(t)
	busy := snap.Sandboxes[1] // has histograms and fields
	for range 50 {
		snap.Sandboxes = append(snap.Sandboxes, busy)
	}
	for what, p := range map[string]*page.Page{"counters": benchmarkPage(t, 50, 60), "histograms": build(snap)} {
		for _, format := range []Format{Text{}, OpenMetrics{}, Protobuf{}} {
			text := format.Append(nil, p)
			if n := testing.AllocsPerRun(10, func() { text = format.Append(text[:0], p) }); n > 40 {
				t.Errorf("%s, %s: %v allocations", nameOf(format), what, n)
			}
		}
	}
}

// nameOf returns the name of a format in tests.
func nameOf(f Format) string { return strings.TrimPrefix(fmt.Sprintf("%T", f), "expo.") }
