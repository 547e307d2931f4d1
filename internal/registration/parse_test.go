package registration

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/protoadapt"

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
	parses("sorted metrics", `metrics:{name:"/b" prometheus_name:"b"}`+start+`}`,
		`{"metrics":[{"name":"/a","prometheus_name":"a"},{"name":"/b","prometheus_name":"b"}],"stages":null}`)
	parses("stages in their order", start+`} stages: "b" stages: "a"`, `{"metrics":[{"name":"/a","prometheus_name":"a"}],"stages":["b","a"]}`)
	parses("a distribution", start+`type: TYPE_DISTRIBUTION distribution_bucket_lower_bounds: -1 distribution_bucket_lower_bounds: [5, 10] }`,
		metric(`,"type":1,"distribution_bucket_lower_bounds":[-1,5,10]`))
	parses("constants by number", start+`type: 0 units: 1 }`, metric(`,"units":1`))
	parses("constants by name", start+`type: TYPE_UINT64 units: UNITS_NANOSECONDS }`, metric(`,"units":1`))
	parses("booleans", start+`cumulative: false sync: true }`, metric(`,"sync":true`))
	parses("fields", start+`fields: { field_name: "f" allowed_values: "x" allowed_values: "y" } }`, metric(`,"fields":[{"field_name":"f","allowed_values":["x","y"]}]`))
	parses("unknown fields", `x: 1 x: [-2, inf] y { z: "}" z: <q: a> } `+start+`new: { a: 1.5e3 } }`, metric(""))
	parses("unknown constants by number", start+`type: 7 units: -1 }`, metric(`,"type":7,"units":-1`))
	parses("what the schema refuses", `metrics { name: "" }`, `{"metrics":[{}],"stages":null}`)
	parses("HTML in a text", start+`description: "<&>" }`, metric(`,"description":"\u003c\u0026\u003e"`))
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
	refuses("JSON", `{"metrics":[]}`, syntax("syntax error (line 1:1): invalid field name: {"))
	refuses("another text", "runsc: unknown command", syntax(ends))
	refuses("no UTF-8", "metrics: { name: \"\xff\" }", syntax("syntax error (line 1:18): invalid UTF-8 detected"))
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
