package expo

import (
	"cmp"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/verify"
)

var update = flag.Bool("update", false, "write the golden files anew")

// registrationA and registrationB are those of two releases: they share metrics, and disagree about the type of net_open and the help
// of fs_opens.
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

// kind is a schema and its text.
type kind struct {
	*schema.Schema
	text  *SeriesText
	index int
}

func compileKinds(t *testing.T, registrations ...string) (kinds []kind) {
	t.Helper()
	for i, registration := range registrations {
		s, err := schema.Compile([]byte(registration))
		if err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, kind{s, NewSeriesText(s), i})
	}
	return kinds
}

// families returns those of the kinds: the first one's help and type count, and who has another type is left out.
func families(kinds []kind) (list []Family) {
	at := make(map[string]int)
	add := func(k kind, metric int, m *schema.Metric, part Part, typ schema.Type) {
		name := "runsc_" + m.Name + part.Suffix()
		if _, there := at[name]; !there {
			at[name] = len(list)
			list = append(list, Family{Name: name, Help: m.Help, Type: typ, Part: part, Metric: slices.Repeat([]int32{-1}, len(kinds))})
		}
		if f := &list[at[name]]; f.Type == typ {
			f.Metric[k.index] = int32(metric)
		}
	}
	for _, k := range kinds {
		for i := range k.Metrics {
			m := &k.Metrics[i]
			add(k, i, m, Whole, m.Type)
			if m.Type == schema.Histogram {
				add(k, i, m, Min, schema.Gauge)
				add(k, i, m, Max, schema.Gauge)
				add(k, i, m, SSD, schema.Gauge)
			}
		}
	}
	return list
}

// point is a data point: its metric, and the members behind that, each with a comma before it.
func (k kind) point(name, members string) string {
	return `{"metric":{"name":"` + name + string(k.Metrics[k.Find([]byte(name))].Definition) + members + `}`
}

// source returns what a sandbox has that sends the points, ms milliseconds later than the page's time.
func (k kind) source(t *testing.T, labels *Labels, ms int64, points ...string) Source {
	t.Helper()
	now := time.UnixMilli(pageTime)
	answer := `{"success":true,"err":"","result":{"snapshot":{"when":"` + now.Format(time.RFC3339Nano) + `","data":[` + strings.Join(points, ",") + `]}}}`
	var v verify.Verifier
	b := new(verify.Baseline)
	if err := v.Export(control.NewReply([]byte(answer)), k.Schema, nil, b, now); err != nil {
		t.Fatal(err)
	}
	return Source{Labels: labels, Kind: k.index, Series: k.text, Time: pageTime + ms, Samples: b.Samples(nil), Baseline: b}
}

// histogram is the member of that name.
func histogram(total, min, max, ssd string, buckets ...string) string {
	return fmt.Sprintf(`,"histogram":{"total":{%s},"min":{%s},"max":{%s},"ssd":{%s},"buckets":[%s]}`, total, min, max, ssd, strings.Join(buckets, ","))
}

// goldenPage has something of everything.
func goldenPage(t *testing.T) *Page {
	kinds := compileKinds(t, registrationA, registrationB)
	a, b := kinds[0], kinds[1]
	plain := NewLabels("1af6dvkjq949g", "", "", "a-plain")
	pod := NewLabels("33sp8vo18t24b", "prod-ns", "nginx-7d8b49557c-abcde", "b-pod")
	nasty := NewLabels("39c9fawht4m8d", "n\\s \"x\"", "evil\"} 1 1\nforged_metric 1\t\xff\xfe\x1b[1m é", "c-nasty")
	calls := func(arg, kind, opcode, result, value string) string {
		return a.point("calls", fmt.Sprintf(`,"labels":{"arg":"%s","kind":"%s","opcode":"%s","result":"%s","zone":"z"},"val":{%s}`, arg, kind, opcode, result, value))
	}
	p := &Page{
		Time: pageTime,
		Families: append(families(kinds),
			Family{Name: "process_start_time_seconds", Help: "Start time of the process.", Own: []Own{{"", 1795338760.112779}}},
			Family{Name: "runsc_meta_none", Help: "Without samples.", Own: []Own{}},
			Family{Name: "runsc_meta_nil", Help: "Without samples."},
			Family{Name: "runsc_meta_num_sandboxes_total", Help: "Sandboxes ever.", Type: schema.Counter, Own: []Own{{"", 3}}},
			Family{Name: "runsc_meta_sandbox_metadata", Help: `Key\value pairs.`, Own: []Own{
				{plain.Block(Label{"version", "1"}, Label{"coretags", "false"}), 1},
				{nasty.Block(Label{"version", "\"\\\n"}), 1},
			}},
			Family{Name: "runsc_meta_values", Help: "", Own: []Own{
				{`{n="0"}`, 0}, {`{n="1"}`, math.Copysign(0, -1)}, {`{n="2"}`, 0.1}, {`{n="3"}`, 1e-6}, {`{n="4"}`, 9.99e-7}, {`{n="5"}`, -1e20},
				{`{n="6"}`, 1e21}, {`{n="7"}`, 1 << 53}, {`{n="8"}`, math.MaxFloat64}, {`{n="9"}`, 5e-324}, {`{n="A"}`, math.NaN()},
				{`{n="B"}`, math.Inf(1)}, {`{n="C"}`, math.Inf(-1)},
			}},
		),
		Sources: []Source{
			a.source(t, plain, 0,
				a.point("fs_opens", `,"val":{"int":8}`),
				a.point("net_open", `,"val":{}`),
				a.point("boot", histogram(`"float":1.5`, `"float":1e-9`, `"float":1e300`, `"float":0.25`, `{"le":{"int":1},"n":0}`, `{"le":{},"n":2}`))),
			a.source(t, pod, -3,
				a.point("fs_opens", `,"val":{"int":9223372036854775807}`),
				a.point("net_open", `,"val":{"int":-7}`),
				calls("x", `C:\\write`, "2", `\"bad\"\n`, `"int":2`),
				calls("", "read", "1", "ok", `"int":1`),
				a.point("gofer_latency", `,"labels":{"op":"put"}`+histogram(`"int":90`, `"int":-9`, `"int":3000`, `"float":1e21`,
					`{"le":{"int":-5},"n":1}`, `{"le":{"int":10},"n":0}`, `{"le":{"int":2000},"n":2}`, `{"le":{},"n":3}`)),
				a.point("gofer_latency", `,"labels":{"op":"get"}`+histogram(``, ``, ``, ``,
					`{"le":{"int":-5},"n":0}`, `{"le":{"int":10},"n":0}`, `{"le":{"int":2000},"n":0}`, `{"le":{},"n":0}`))),
			a.source(t, nasty, 1, calls("", "read", "1", "ok", ``)),
			b.source(t, NewLabels("1", "", "", "d-other"), 0,
				b.point("a_new_one", `,"val":{"int":1}`),
				b.point("fs_opens", `,"val":{"int":2}`),
				b.point("net_open", `,"val":{"int":3}`),
				b.point("zz", `,"val":{"int":4}`)),
			b.source(t, NewLabels("1", "", "", "e-silent"), 0),
			a.source(t, NewLabels("1", "", "", "f-last"), -pageTime, a.point("fs_opens", `,"val":{"int":0}`)),
		},
	}
	slices.SortFunc(p.Families, func(a, b Family) int { return cmp.Compare(a.Name, b.Name) })
	return p
}

func TestGoldenPage(t *testing.T) {
	const golden = "testdata/page.golden"
	p := goldenPage(t)
	page := string(AppendText(nil, p))
	if *update {
		if err := os.WriteFile(golden, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if page != string(want) {
		t.Errorf("the page is not that of %s; go test -update writes it anew. It is\n%s", golden, page)
	}
	if _, err := parsePage(page); err != nil {
		t.Error(err)
	}
	if again := string(AppendText([]byte("before\n"), p)); again != "before\n"+page {
		t.Errorf("a second time the page is another:\n%s", again)
	}
}

// TestPageLeavesNothingOut compares the page with what it was made of.
func TestPageLeavesNothingOut(t *testing.T) {
	p := goldenPage(t)
	read, err := parsePage(string(AppendText(nil, p)))
	if err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]parsedFamily)
	for _, f := range read {
		byName[f.name] = f
	}
	for _, f := range p.Families {
		samples := len(f.Own)
		for _, src := range p.Sources {
			if f.Metric == nil || f.Metric[src.Kind] < 0 {
				continue
			}
			for _, s := range src.Samples {
				if s.Metric != f.Metric[src.Kind] {
					continue
				}
				samples++
				if f.Type == schema.Histogram {
					samples += 1 + len(src.Series.metric(s.Metric).Bounds) + 1
				}
			}
		}
		got := byName[f.Name]
		delete(byName, f.Name)
		if len(got.samples) != samples {
			t.Errorf("%s has %d samples, want %d", f.Name, len(got.samples), samples)
		}
		if samples > 0 && (got.help != f.Help || got.kind != f.Type.String()) {
			t.Errorf("%s is a %s, %q, want a %s, %q", f.Name, got.kind, got.help, f.Type, f.Help)
		}
	}
	if len(byName) > 0 {
		t.Errorf("families that are none: %v", byName)
	}
}

// TestPageWithoutFamilies: samples of metrics that the page has no family for, as when two sandboxes disagree, are passed over.
func TestPageWithoutFamilies(t *testing.T) {
	p := goldenPage(t)
	want := ""
	var lines []string
	for _, line := range strings.SplitAfter(string(AppendText(nil, p)), "\n") {
		if strings.Contains(line, "runsc_zz") || strings.Contains(line, "runsc_gofer_latency_max") {
			lines = append(lines, line)
		}
	}
	want = strings.Join(lines, "")
	p.Families = slices.DeleteFunc(p.Families, func(f Family) bool { return f.Name != "runsc_zz" && f.Name != "runsc_gofer_latency_max" })
	if got := string(AppendText(nil, p)); got != want || len(lines) != 7 {
		t.Errorf("%s, want\n%s", got, want)
	}
}

func TestEmptyPage(t *testing.T) {
	if page := AppendText(nil, &Page{}); len(page) != 0 {
		t.Errorf("%q", page)
	}
	kinds := compileKinds(t, registrationA)
	if page := AppendText(nil, &Page{Families: families(kinds)}); len(page) != 0 {
		t.Errorf("%q", page)
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
	float(1, "1")
	float(-1.5, "-1.5")
	float(0.1, "0.1")
	float(1795338760.112779, "1795338760.112779")
	float(1<<53, "9007199254740992")
	float(1e-6, "0.000001")
	float(9.5e-7, "9.5e-07")
	float(1e20, "100000000000000000000")
	float(1e21, "1e+21")
	float(-1e21, "-1e+21")
	float(math.SmallestNonzeroFloat64, "5e-324")
	float(math.MaxFloat64, "1.7976931348623157e+308")
	float(math.Inf(1), "+Inf")
	float(math.Inf(-1), "-Inf")
	float(math.NaN(), "NaN")
}

func TestLineEnd(t *testing.T) {
	for ms, want := range map[int64]string{0: " 0\n", pageTime: " 1795338783582\n", -1: " -1\n", math.MinInt64: " -9223372036854775808\n"} {
		if got := lineEnd(ms); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// TestAllocations: a page costs a string a sandbox, and nothing a sample.
func TestAllocations(t *testing.T) {
	const sandboxes = 50
	p := benchmarkPage(t, sandboxes, 60)
	page := AppendText(nil, p)
	if n := testing.AllocsPerRun(10, func() { page = AppendText(page[:0], p) }); n > sandboxes+5 {
		t.Errorf("%v allocations for %d sandboxes", n, sandboxes)
	}
}

// FuzzText: whatever texts and numbers stand in labels and HELP lines, they read back, and forge nothing.
func FuzzText(f *testing.F) {
	f.Add("ns", "pod", "value", "help", 1.5, int64(pageTime))
	f.Add("n\\s \"x\"", "evil\"} 1 1\nforged_metric 1\t\xff\xfe\x1b[1m é", "\\\\n\r\x00", "C:\\new\nline \"quoted\" \xff", math.Inf(-1), int64(-1))
	f.Add("", "", "", "", math.NaN(), int64(0))
	f.Fuzz(func(t *testing.T, namespace, pod, value, help string, number float64, ms int64) {
		valid := func(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }
		want := []Label{{"iteration", "1"}}
		if namespace != "" {
			want = append(want, Label{"namespace_name", valid(namespace)})
		}
		if pod != "" {
			want = append(want, Label{"pod_name", valid(pod)})
		}
		want = append(want, Label{"sandbox", "sb"}, Label{"x", valid(value)})
		labels := NewLabels("1", namespace, pod, "sb")
		page := AppendText(nil, &Page{Time: ms, Families: []Family{{Name: "f", Help: help, Own: []Own{{labels.Block(Label{"x", value}), number}}}}})
		families, err := parsePage(string(page))
		if err != nil {
			t.Fatal(err)
		}
		if len(families) != 1 || len(families[0].samples) != 1 {
			t.Fatalf("%+v", families)
		}
		got := families[0].samples[0]
		if families[0].help != valid(help) || !slices.Equal(got.labels, want) || got.time != ms {
			t.Errorf("%q, %q at %d, want %q, %q at %d", families[0].help, got.labels, got.time, valid(help), want, ms)
		}
		if math.Float64bits(got.value) != math.Float64bits(number) && number == number {
			t.Errorf("%g, want %g", got.value, number)
		}
	})
}
