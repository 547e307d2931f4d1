package schema

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

func compiled(tb testing.TB, registration string) *Schema {
	tb.Helper()
	s, err := Compile([]byte(registration))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// registering returns a registration of metrics.
func registering(metrics ...string) string {
	return `{"metrics":[` + strings.Join(metrics, ",") + `],"stages":["restore"]}`
}

// counting returns a metric called a, with more fields, each with a comma before it.
func counting(more string) string {
	return `{"name":"/a","prometheus_name":"a","description":"Things."` + more + `}`
}

// field returns the JSON field "fields" with one field f of the values v0, v1 and so on.
func field(name string, values int) string {
	var list []string
	for i := range values {
		list = append(list, fmt.Sprintf(`"v%d"`, i))
	}
	return `,"fields":[{"field_name":"` + name + `","allowed_values":[` + strings.Join(list, ",") + `]}]`
}

// bounds returns the JSON fields of a distribution of n bounds.
func bounds(n int) string {
	var list []string
	for i := range n {
		list = append(list, fmt.Sprint(10*i))
	}
	return `,"type":1,"distribution_bucket_lower_bounds":[` + strings.Join(list, ",") + `]`
}

func TestCompileCapture(t *testing.T) {
	s := compiled(t, string(testkit.Testdata(t, "registration.json")))
	if len(s.Metrics) != 178 || s.Series != 2794 {
		t.Errorf("%d metrics and %d series, want 178 and 2794", len(s.Metrics), s.Series)
	}
	if s.MaxReply < 620_000 || s.MaxReply > 640_000 {
		t.Errorf("the largest reply has %d bytes, want about 630,000", s.MaxReply)
	}
	checkNumbers(t, s)
	var types [3]int
	for i := range s.Metrics {
		types[s.Metrics[i].Type]++
	}
	if want := [3]int{Gauge: 2, Counter: 176}; types != want {
		t.Errorf("%d gauges, counters and histograms, want %d", types, want)
	}
}

// TestMaxReply compares MaxReply with the largest replies in runsc's encoding.
func TestMaxReply(t *testing.T) {
	fits := func(name, registration string, slack float64) {
		t.Helper()
		s := compiled(t, registration)
		var data []any
		number := map[string]any{"float": -math.MaxFloat64}
		for i := range s.Metrics {
			m := &s.Metrics[i]
			for series := m.First; series < m.First+m.Series; series++ {
				point := map[string]any{"metric": map[string]any{"name": m.Name, "type": m.WireType, "help": m.Help}}
				labels := map[string]string{}
				for k, v := range m.Labels(series) {
					labels[m.Fields[k].Name] = v
				}
				if len(labels) > 0 {
					point["labels"] = labels
				}
				if m.Type != Histogram {
					point["val"] = map[string]any{"int": math.MinInt64}
				} else {
					buckets := make([]any, len(m.Bounds)+1)
					for k := range buckets {
						buckets[k] = map[string]any{"le": number, "n": math.MaxInt64}
					}
					point["histogram"] = map[string]any{"total": number, "min": number, "max": number, "ssd": number, "buckets": buckets}
				}
				data = append(data, point)
			}
		}
		reply, err := json.Marshal(map[string]any{"success": true, "err": "", "result": map[string]any{
			"snapshot": map[string]any{"when": "2026-11-22T09:14:59.076787842+02:00", "data": data},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if least := int(float64(len(reply)) * (1 + slack)); len(reply) > s.MaxReply || s.MaxReply > least {
			t.Errorf("%s: %d bytes, and MaxReply is %d", name, len(reply), s.MaxReply)
		}
	}
	fits("a real registration", string(testkit.Testdata(t, "registration.json")), 0.03)
	fits("escapes", registering(counting(`,"fields":[{"field_name":"f","allowed_values":["\u003c\u003c\u003c\u003c","&&&&","\"\"\"\""]}]`)), 0.2)
	fits("a histogram", registering(counting(bounds(100))), 0.5)
}

func TestSeriesNumbers(t *testing.T) {
	s := compiled(t, registering(
		`{"name":"/c","prometheus_name":"c","fields":[{"field_name":"z","allowed_values":["1","2","3"]},{"field_name":"b","allowed_values":["x","y"]}]}`,
		`{"name":"/b","prometheus_name":"b"}`,
	))
	var got []string
	for i := range s.Metrics {
		m := &s.Metrics[i]
		for series := m.First; series < m.First+m.Series; series++ {
			got = append(got, fmt.Sprintf("%d %s%s", series, m.Name, m.Labels(series)))
		}
	}
	want := []string{"0 b[]", "1 c[x 1]", "2 c[x 2]", "3 c[x 3]", "4 c[y 1]", "5 c[y 2]", "6 c[y 3]"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	checkNumbers(t, s)
}

// checkNumbers checks that series have consecutive numbers, and that their labels map to the
// numbers.
func checkNumbers(t *testing.T, s *Schema) {
	t.Helper()
	next := uint32(0)
	for i := range s.Metrics {
		m := &s.Metrics[i]
		if s.Find([]byte(m.Name)) != i || i > 0 && s.Metrics[i-1].Name >= m.Name {
			t.Errorf("metric %d, %s, is not found or out of order", i, m.Name)
		}
		if m.First != next || m.Series == 0 {
			t.Errorf("%s has %d series from %d on, and %d is the next", m.Name, m.Series, m.First, next)
		}
		for series := m.First; series < m.First+m.Series; series++ {
			number := m.First
			for k, value := range m.Labels(series) {
				offset, ok := m.Fields[k].Offset([]byte(value))
				if !ok {
					t.Fatalf("%s does not allow its own value %q", m.Name, value)
				}
				number += offset
			}
			if number != series {
				t.Fatalf("the labels of series %d of %s lead to %d", series, m.Name, number)
			}
		}
		next += m.Series
	}
	if int(next) != s.Series {
		t.Errorf("%d series, and %d numbers", s.Series, next)
	}
}

func TestCompile(t *testing.T) {
	accept := func(name, registration, want string) {
		t.Helper()
		s, err := Compile([]byte(registration))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			return
		}
		var got []string
		for i := range s.Metrics {
			m := &s.Metrics[i]
			text := fmt.Sprintf("%s %s %d", m.Name, m.Type, m.WireType)
			for k := range m.Fields {
				f := &m.Fields[k]
				text += fmt.Sprintf(" %s=%q", f.Name, f.Values)
				if !f.Plain {
					text += "*"
				}
			}
			if m.Bounds != nil {
				text += fmt.Sprintf(" %v", m.Bounds)
			}
			got = append(got, text)
		}
		if text := strings.Join(got, "; "); text != want {
			t.Errorf("%s: %s, want %s", name, text, want)
		}
	}
	longest := strings.Repeat("x", MaxText)
	accept("no metrics", `{}`, "")
	accept("a gauge", registering(counting("")), "a gauge 1")
	accept("a counter", registering(counting(`,"cumulative":true`)), "a counter 2")
	accept("a distribution", registering(counting(bounds(3))), "a histogram 3 [0 10 20]")
	accept("unknown fields", registering(counting(`,"sync":true,"units":1,"x":{"name":[]}`)), "a gauge 1")
	accept("null lists", registering(counting(`,"fields":null,"distribution_bucket_lower_bounds":null`)), "a gauge 1")
	accept("sorted", registering(`{"name":"/b","prometheus_name":"b"}`, counting(""), `{"name":"/a/b","prometheus_name":"a_b"}`), "a gauge 1; a_b gauge 1; b gauge 1")
	accept("fields", registering(counting(`,"fields":[{"field_name":"b","allowed_values":["y","x",""]},{"allowed_values":["1"],"field_name":"a"}]`)),
		`a gauge 1 a=["1"] b=["y" "x" ""]`)
	accept("values that JSON escapes", registering(counting(`,"fields":[{"field_name":"f","allowed_values":["a","b\"c"]}]`)), `a gauge 1 f=["a" "b\"c"]*`)
	accept("a name of all that is allowed", registering(strings.Replace(counting(""), `"a"`, `"a_0__z"`, 1)), "a_0__z gauge 1")
	accept("names like the server's own", registering(strings.Replace(counting(""), `"a"`, `"metadata"`, 1), strings.Replace(counting(""), `"a"`, `"process_start"`, 1)),
		"metadata gauge 1; process_start gauge 1")
	accept("names like a histogram's", registering(counting(""), strings.Replace(counting(""), `"a"`, `"a_bucket"`, 1)), "a gauge 1; a_bucket gauge 1")
	accept("the longest field", registering(counting(field(longest, 1))), "a gauge 1 "+longest+`=["v0"]`)
}

// refuse checks why a registration is refused.
func refuse(t *testing.T, name, registration, metric, rule string) {
	t.Helper()
	s, err := Compile([]byte(registration))
	var refused *RefusedError
	if s != nil || !errors.As(err, &refused) || *refused != (RefusedError{metric, rule}) {
		t.Errorf("%s: %.200v, want metric %.20q, rule %s", name, err, metric, rule)
	}
}

// TestCompileRefuses has a case for each rule, in which only that rule is broken.
func TestCompileRefuses(t *testing.T) {
	refuse := func(name, metric, rule string, metrics ...string) {
		t.Helper()
		refuse(t, name, registering(metrics...), metric, rule)
	}
	called := func(name string) string { return strings.Replace(counting(""), `"a"`, `"`+name+`"`, 1) }
	fields := func(list string) string { return counting(`,"fields":[` + list + `]`) }

	refuse("no name", "a", "the name is empty", strings.Replace(counting(""), "/a", "", 1))
	refuse("no Prometheus name", "", "the name is empty", called(""))
	refuse("a repeated name", "a", "duplicate name", counting(""), counting(`,"cumulative":true`))

	const meta = "the prefix meta_ is reserved for the server"
	refuse("meta_", "meta_", meta, called("meta_"))

	const own = "the name is reserved for the server"
	for _, name := range []string{"process_cpu_seconds_total", "process_open_fds", "process_start_time_seconds", "process_threads"} {
		refuse(name, name, own, called(name))
	}

	const letters = "the name must be a lower-case letter followed by lower-case letters, digits and underscores"
	refuse("a digit first", "0a", letters, called("0a"))
	refuse("an underscore first", "_a", letters, called("_a"))
	refuse("an upper-case letter", "aA", letters, called("aA"))
	refuse("a dash", "a-b", letters, called("a-b"))
	refuse("a newline", "a\n", letters, called(`a\n`))
	refuse("a brace", "a{b=\"c\"}", letters, called(`a{b=\"c\"}`))

	refuse("an unknown type", "a", "unknown type 2", counting(`,"type":2`))

	refuse("no bounds", "a", "the distribution has 0 bounds; the limit is 1 to 255", counting(`,"type":1`))
	refuse("too many bounds", "a", "the distribution has 256 bounds; the limit is 1 to 255", counting(bounds(256)))
	refuse("bounds that repeat", "a", "the bounds of the distribution do not increase", counting(`,"type":1,"distribution_bucket_lower_bounds":[1,1]`))
	for _, part := range []string{"bucket", "count", "sum", "min", "max", "ssd"} {
		refuse("a name of a histogram's part", "a_"+part, `the name conflicts with a series of histogram "a"`, counting(bounds(1)), called("a_"+part))
	}

	refuse("a repeated field", "a", `duplicate field "f"`, fields(`{"field_name":"f","allowed_values":["1"]},{"field_name":"f","allowed_values":["2"]}`))
	refuse("no allowed value", "a", `field "f" has no allowed values`, fields(`{"field_name":"f","allowed_values":[]}`))
	refuse("a repeated value", "a", `field "f" has the duplicate value "1"`, fields(`{"field_name":"f","allowed_values":["1","2","1"]}`))
	refuse("values that are no runes", "a", `field "f" has the duplicate value "\ufffd"`, fields(`{"field_name":"f","allowed_values":["\ud800","\ud801"]}`))
	for _, name := range []string{"", "0f", "f-g", "f:g", "f g", "é", "__f", "__name__"} {
		refuse("no label name", "a", "field "+Quote(name)+" is not a valid Prometheus label name", counting(field(name, 1)))
	}
	for _, name := range []string{"sandbox", "iteration", "pod_name", "namespace_name", "le"} {
		refuse("a label of the server's own", "a", fmt.Sprintf("field %q is reserved for the server", name), counting(field(name, 1)))
	}
}

func TestCompileRefusesDocuments(t *testing.T) {
	refuse := func(name, registration, rule string) {
		t.Helper()
		refuse(t, name, registration, "", rule)
	}
	refuse("nothing", ``, "unexpected end of JSON")
	refuse("no UTF-8", registering(counting(`,"fields":[{"field_name":"f","allowed_values":["`+"\xfe\",\"\xff"+`"]}]`)), "not UTF-8")
	refuse("metrics that are no list", `{"metrics":{}}`, "expected an array at byte 11")
	refuse("a bound that is a float", registering(`{"distribution_bucket_lower_bounds":[1e3]}`), "not a 64-bit integer at byte 49")
	refuse("cumulative as text", registering(`{"cumulative":"true"}`), "expected true or false at byte 26")
}

func TestLimits(t *testing.T) {
	many := func(n int) string {
		var metrics []string
		for i := range n {
			metrics = append(metrics, fmt.Sprintf(`{"name":"/a","prometheus_name":"a%d"}`, i))
		}
		return registering(metrics...)
	}
	if s := compiled(t, many(MaxMetrics)); s.Series != MaxMetrics {
		t.Errorf("%d series", s.Series)
	}
	// values returns two fields that make n times m series.
	values := func(n, m int) string {
		return strings.TrimSuffix(field("f", n), "]") + "," + strings.TrimPrefix(field("g", m), `,"fields":[`)
	}
	if s := compiled(t, registering(counting(values(1024, 1024)))); s.Series != MaxSeries {
		t.Errorf("%d series", s.Series)
	}
	tooLong := strings.Repeat("x", MaxText+1)
	refuse(t, "too many metrics", many(MaxMetrics+1), "", "more than 10000 metrics")

	const series = "the registration has more than 1048576 possible series"
	refuse(t, "too many series of one metric", registering(counting(values(1024, 1025))), "a", series)
	refuse(t, "one series too many", registering(counting(values(1024, 1024)), strings.Replace(counting(""), `"a"`, `"b"`, 1)), "b", series)
	huge := strings.TrimSuffix(values(1<<10, 1<<10), "]")
	for i := range 20 {
		huge += "," + strings.TrimPrefix(strings.TrimSuffix(field(fmt.Sprint("h", i), 1<<10), "]"), `,"fields":[`)
	}
	refuse(t, "more series than can be counted", registering(counting(huge+"]")), "a", series)

	const text = "a text is longer than 4096 bytes"
	refuse(t, "a long name", registering(strings.Replace(counting(""), "/a", tooLong, 1)), "a", text)
	refuse(t, "a long Prometheus name", registering(strings.Replace(counting(""), `"a"`, `"`+tooLong+`"`, 1)), tooLong, text)
	refuse(t, "a long help", registering(strings.Replace(counting(""), "Things.", tooLong, 1)), "a", text)
	refuse(t, "a long field", registering(counting(field(tooLong, 1))), "a", text)
	refuse(t, "a long value", registering(counting(`,"fields":[{"field_name":"f","allowed_values":["`+tooLong+`"]}]`)), "a", text)
}

func TestRefusedErrorText(t *testing.T) {
	text := func(registration, want string) {
		t.Helper()
		if _, err := Compile([]byte(registration)); err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
	}
	text(registering(counting(field("a-b", 1))), `registration refused: metric "a": field "a-b" is not a valid Prometheus label name`)
	text(registering(strings.Replace(counting(""), `"a"`, `"\u001b[1m\n\u202e"`, 1)), `registration refused: metric "\x1b[1m\n\u202e": `+
		"the name must be a lower-case letter followed by lower-case letters, digits and underscores")
	text(registering(counting(field(strings.Repeat("-", 1e6), 1))), `registration refused: metric "a": field "`+strings.Repeat("-", 100)+`"… is not a valid Prometheus label name`)
	text(`[]`, "registration refused: expected an object at byte 0")
}

// FuzzCompile: a registration is refused with a printable reason, or its schema is consistent.
func FuzzCompile(f *testing.F) {
	f.Add([]byte(registering(counting(field("f", 3)), `{"name":"/b","prometheus_name":"b","description":"\u003c","cumulative":true,"sync":true,"units":1}`)))
	f.Add([]byte(registering(counting(bounds(2) + field("g", 2)))))
	f.Add([]byte(registering(counting(`,"fields":[{"field_name":"b","allowed_values":["\"","é"]},{"field_name":"a","allowed_values":["1","2"]}]`))))
	f.Add([]byte(registering(counting(""), strings.Replace(counting(""), `"a"`, `"\u001b"`, 1))))
	f.Add([]byte(`{"metrics":null}`))
	f.Fuzz(func(t *testing.T, registration []byte) {
		s, err := Compile(registration)
		if err != nil {
			if !errors.As(err, new(*RefusedError)) || s != nil {
				t.Fatalf("%v, %v", s, err)
			}
			for _, c := range []byte(strings.ReplaceAll(err.Error(), "…", "")) {
				if c < ' ' || c > '~' {
					t.Fatalf("%q is not printable", err)
				}
			}
			return
		}
		if !json.Valid(registration) {
			t.Fatal("it is not JSON")
		}
		checkNumbers(t, s)
		for i := range s.Metrics {
			m := &s.Metrics[i]
			var definition struct {
				Name, Help string
				Type       int64
			}
			if err := json.Unmarshal([]byte(`{"name":"`+m.Name+string(m.Definition)), &definition); err != nil {
				t.Fatal(err)
			}
			if definition.Name != m.Name || definition.Help != m.Help || definition.Type != m.WireType {
				t.Fatalf("%s is defined as %+v", m.Name, definition)
			}
			for k := range m.Fields {
				if f := &m.Fields[k]; !validLabel.MatchString(f.Name) || k > 0 && m.Fields[k-1].Name >= f.Name {
					t.Fatalf("field %q", f.Name)
				}
			}
		}
	})
}
