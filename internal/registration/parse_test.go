package registration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/protoadapt"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// TestParseReal parses the beginning and the end of what a real runsc prints.
func TestParseReal(t *testing.T) {
	r, err := Parse(testkit.Testdata(t, "metric-metadata.txt"))
	if err != nil {
		t.Fatal(err)
	}
	if want := bytes.TrimSpace(testkit.Testdata(t, "metric-metadata.json")); !bytes.Equal(r.JSON, want) {
		t.Errorf("got\n%s\nwant\n%s", r.JSON, want)
	}
}

// TestParseWhole: a whole registration is the same bytes as the registration in a state file, with
// its metrics sorted.
func TestParseWhole(t *testing.T) {
	text, want := textOf(t, simulate.RealRegistration())
	r, err := Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(r.JSON, want) {
		t.Errorf("got\n%s\nwant\n%s", r.JSON, want)
	}
}

// textOf returns a registration in the text format and as canonical JSON.
func textOf(t *testing.T, r *simulate.Registration) (text, canonical []byte) {
	t.Helper()
	for _, m := range r.Metrics {
		text = fmt.Appendf(text, "metrics: {\n  name: %q\n  prometheus_name: %q\n  description: %q\n", m.Name, m.PrometheusName, m.Description)
		if m.Cumulative {
			text = fmt.Appendln(text, "  cumulative: true")
		}
		if m.Sync {
			text = fmt.Appendln(text, "  sync: true")
		}
		if m.Units == 1 {
			text = fmt.Appendln(text, "  units: UNITS_NANOSECONDS")
		}
		for _, f := range m.Fields {
			text = fmt.Appendf(text, "  fields: {\n    field_name: %q\n", f.Name)
			for _, v := range f.Allowed {
				text = fmt.Appendf(text, "    allowed_values: %q\n", v)
			}
			text = fmt.Appendln(text, "  }")
		}
		text = fmt.Appendln(text, "}")
	}
	for _, s := range r.Stages {
		text = fmt.Appendf(text, "stages: %q\n", s)
	}
	sorted := *r
	sorted.Metrics = slices.SortedFunc(slices.Values(r.Metrics), func(a, b simulate.Metric) int { return bytes.Compare(encode(t, a), encode(t, b)) })
	return text, encode(t, sorted)
}

func encode(t *testing.T, v any) []byte {
	t.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestParse(t *testing.T) {
	const start = `metrics: { name: "/a" prometheus_name: "a" `
	parses := func(name, text, want string) {
		t.Helper()
		r, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if got := string(r.JSON); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, want)
		}
	}
	metric := func(rest string) string {
		return `{"metrics":[{"name":"/a","prometheus_name":"a"` + rest + `}],"stages":null}`
	}
	parses("a counter", short, shortJSON)
	parses("no colon before a message", `metrics { name: "/a" prometheus_name: "a" }`, metric(""))
	parses("angle brackets", `metrics: < name: "/a" prometheus_name: "a" >`, metric(""))
	parses("separators", `metrics: { name: "/a", prometheus_name: "a"; }`, metric(""))
	parses("comments and blanks", "# one\n"+start+"# two\n\t}\r\n # three", metric(""))
	parses("no blanks", `metrics:{name:"/a"prometheus_name:"a"}`, metric(""))
	parses("sorted metrics", `metrics:{name:"/b" prometheus_name:"b"}`+start+`}`,
		`{"metrics":[{"name":"/a","prometheus_name":"a"},{"name":"/b","prometheus_name":"b"}],"stages":null}`)
	parses("stages in their order", start+`} stages: "b" stages: "a"`, `{"metrics":[{"name":"/a","prometheus_name":"a"}],"stages":["b","a"]}`)
	parses("a list of strings", start+`} stages: ["b", 'a']`, `{"metrics":[{"name":"/a","prometheus_name":"a"}],"stages":["b","a"]}`)
	parses("an empty list", start+`} stages: []`, metric(""))
	parses("a list of messages", `metrics: [{name:"/a" prometheus_name:"a"}]`, metric(""))
	parses("a distribution", start+`type: TYPE_DISTRIBUTION distribution_bucket_lower_bounds: -1 distribution_bucket_lower_bounds: [5, 10] }`,
		metric(`,"type":1,"distribution_bucket_lower_bounds":[-1,5,10]`))
	parses("constants by number", start+`type: 0 units: 1 }`, metric(`,"units":1`))
	parses("constants by name", start+`type: TYPE_UINT64 units: UNITS_NANOSECONDS }`, metric(`,"units":1`))
	parses("numbers in other bases", start+`type: 0x1 distribution_bucket_lower_bounds: 010 }`, metric(`,"type":1,"distribution_bucket_lower_bounds":[8]`))
	parses("booleans", start+`cumulative: false sync: true }`, metric(`,"sync":true`))
	parses("fields", start+`fields: { field_name: "f" allowed_values: "x" allowed_values: "y" } }`, metric(`,"fields":[{"field_name":"f","allowed_values":["x","y"]}]`))
	parses("unknown fields", `x: 1 x: [-2, inf] y { z: "}" z: <q: a> } `+start+`new: { a: 1.5e3 } }`, metric(""))
	parses("unknown extensions", `[a.b]: 1 `+start+`[a/b] { } }`, metric(""))
	parses("unknown constants by number", start+`type: 7 units: -1 }`, metric(`,"type":7,"units":-1`))
	parses("what the schema refuses", `metrics { name: "" }`, `{"metrics":[{}],"stages":null}`)
	parses("HTML in a text", start+`description: "<&>" }`, metric(`,"description":"\u003c\u0026\u003e"`))
	parses("strings in parts", start+`description: "a" 'b' # c`+"\n"+`"d" }`, metric(`,"description":"abd"`))
	parses("escapes", start+`description: "\"\'\\\n\t\x41\1012\u00e9\U0001F600" }`, metric(`,"description":"\"'\\\n\tAA2é😀"`))

	refuses := func(name, text, want string) {
		t.Helper()
		if r, err := Parse([]byte(text)); err == nil {
			t.Errorf("%s: accepted as %s", name, r.JSON)
		} else if err.Error() != want {
			t.Errorf("%s: %v, want %s", name, err, want)
		}
	}
	syntax := func(reason string) string { return `not a registration: "` + reason + `"` }
	const ends = "unexpected EOF"
	refuses("nothing", "", "the registration has no metrics")
	refuses("stages only", `stages: "a"`, "the registration has no metrics")
	refuses("JSON", `{"metrics":[]}`, syntax("syntax error (line 1:1): invalid field name: {"))
	refuses("another text", "runsc: unknown command", syntax(ends))
	refuses("an open message", start, syntax(ends))
	refuses("the wrong bracket", start+">", syntax("syntax error (line 1:44): mismatched close character '>'"))
	refuses("a bracket too many", start+"} }", syntax("syntax error (line 1:46): invalid field name: }"))
	refuses("no colon", `metrics: { name "/a" }`, syntax("syntax error (line 1:12): missing field separator :"))
	refuses("no value", "metrics: {\nname: }", syntax("syntax error (line 2:7): invalid scalar value: }"))
	refuses("a field twice", start+`name: "/b" }`, syntax(`(line 1:44): non-repeated field \"name\" is repeated`))
	refuses("a list for one value", `metrics: { name: ["/a"] }`, syntax("syntax error (line 1:18): unexpected token: ["))
	refuses("a list without commas", start+`} stages: ["a" "b" 1]`, syntax("syntax error (line 1:63): unexpected character '1'"))
	refuses("a comma at the end of a list", start+`} stages: ["a",]`, syntax("syntax error (line 1:59): invalid scalar value: ]"))
	refuses("an open list", start+`} stages: ["a"`, syntax(ends))
	refuses("a message for a string", `metrics: { name: { } }`, syntax("syntax error (line 1:18): unexpected token: {"))
	refuses("a string for a message", `metrics: "a"`, syntax(`syntax error (line 1:10): unexpected token: \"a\"`))
	refuses("a newline in a string", "metrics: { name: \"a\n\" }", syntax(`syntax error (line 1:18): invalid character '\\n' in string`))
	refuses("an unknown escape", `metrics: { name: "\q" }`, syntax(`syntax error (line 1:18): invalid escape code \"\\\\q\" in string`))
	refuses("half an escape", `metrics: { name: "\`, syntax(ends))
	refuses("no UTF-8", "metrics: { name: \"\xff\" }", syntax("syntax error (line 1:18): invalid UTF-8 detected"))
	refuses("no UTF-8, escaped", `metrics: { name: "\xff" }`, syntax("(line 1:18): contains invalid UTF-8"))
	refuses("no UTF-8 in a list", `stages: ["\xff"]`, syntax("(line 1:10): contains invalid UTF-8"))
	refuses("an unknown constant", start+`type: TYPE_OTHER }`, syntax("(line 1:50): invalid value for enum type: TYPE_OTHER"))
	refuses("a bound that is no integer", start+`distribution_bucket_lower_bounds: 1.5 }`, syntax("(line 1:78): invalid value for int64 type: 1.5"))
	refuses("a field by number", start+`} 1: { }`, syntax("(line 1:46): cannot specify field by number: 1"))
	refuses("a long value", start+`sync: "`+strings.Repeat("a", 1<<20)+`" }`, syntax(`(line 1:50): invalid value for bool type: \"`+strings.Repeat("a", maxReason-43)))
	refuses("a terminal's control characters", start+"sync: \"\x1b[1m\u202e\" }", syntax(`(line 1:50): invalid value for bool type: \"\x1b[1m\u202e\"`))
	refuses("an unknown message that is not closed", strings.Repeat("a{", maxMessages), syntax(ends))
	refuses("more messages than a registration has", strings.Repeat("a{", maxOutput/2), "not a registration: more than 20000 messages")
	refuses("more messages in angle brackets", "a{"+strings.Repeat("a<>", maxMessages), "not a registration: more than 20000 messages")
}

// FuzzParse parses foreign bytes, and what it has read once more from a text of its own.
func FuzzParse(f *testing.F) {
	f.Add([]byte(short))
	f.Add(testkit.Testdata(f, "metric-metadata.txt"))
	f.Add([]byte(`metrics<name:"/a" "b"prometheus_name:'a';description:"\x41\101\u00e9\"",units:1 type:TYPE_UINT64>stages:["a",'b']x{y:[1,2]}# c`))
	f.Add([]byte(`metrics{name:"/a" prometheus_name:"a" fields{field_name:"f" allowed_values:["x"]} type:1 distribution_bucket_lower_bounds:[1,2]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Parse(text)
		if err != nil {
			if r != nil || !utf8.ValidString(err.Error()) || strings.ContainsAny(err.Error(), "\n\x1b") || len(err.Error()) > 20*maxReason {
				t.Fatalf("%v, %q", r, err)
			}
			return
		}
		var m message
		if err := json.Unmarshal(r.JSON, &m); err != nil {
			t.Fatal(err)
		}
		own, err := prototext.Marshal(protoadapt.MessageV2Of(&m))
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Parse(own); err != nil || !bytes.Equal(again.JSON, r.JSON) {
			t.Fatalf("got\n%s\nand from\n%s\n%v, %v", r.JSON, own, again, err)
		}
	})
}
