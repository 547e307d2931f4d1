package registration

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"

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
	var metrics []json.RawMessage
	for _, m := range r.Metrics {
		metrics = append(metrics, encode(t, m))
	}
	slices.SortFunc(metrics, func(a, b json.RawMessage) int { return bytes.Compare(a, b) })
	return text, encode(t, registered{metrics, r.Stages})
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
	parses("booleans", start+`cumulative: false sync: true }`, metric(`,"sync":true`))
	parses("fields", start+`fields: { field_name: "f" allowed_values: "x" allowed_values: "y" } }`, metric(`,"fields":[{"field_name":"f","allowed_values":["x","y"]}]`))
	parses("unknown fields", `x: 1 x: [-2, inf] y { z: "}" z: <q: a> } `+start+`new: { a: 1.5e3 } }`, metric(""))
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
	refuses("nothing", "", "the registration has no metrics")
	refuses("stages only", `stages: "a"`, "the registration has no metrics")
	refuses("JSON", `{"metrics":[]}`, "line 1: the name of a field is missing")
	refuses("another text", "runsc: unknown command", "line 1: a colon is missing")
	refuses("an open message", start, "line 1: the name of a field is missing")
	refuses("the wrong bracket", start+">", "line 1: the name of a field is missing")
	refuses("a bracket too many", start+"} }", "line 1: the name of a field is missing")
	refuses("no colon", `metrics: { name "/a" }`, "line 1: a colon is missing")
	refuses("no value", "metrics: {\nname: }", "line 2: a string is missing, or is not closed on its line")
	refuses("a field twice", start+`name: "/b" }`, "line 1: field name is there twice")
	refuses("a list for one value", `metrics: { name: ["/a"] }`, "line 1: a string is missing, or is not closed on its line")
	refuses("a list without commas", start+`} stages: ["a" "b" 1]`, "line 1: a list is not closed")
	refuses("a comma at the end of a list", start+`} stages: ["a",]`, "line 1: a string is missing, or is not closed on its line")
	refuses("an open list", start+`} stages: ["a"`, "line 1: a list is not closed")
	refuses("a message for a string", `metrics: { name: { } }`, "line 1: a string is missing, or is not closed on its line")
	refuses("a string for a message", `metrics: "a"`, "line 1: a message is missing")
	refuses("an open string", `metrics: { name: "a }`, "line 1: a string is missing, or is not closed on its line")
	refuses("a newline in a string", "metrics: { name: \"a\n\" }", "line 1: a string is missing, or is not closed on its line")
	refuses("an unknown escape", `metrics: { name: "\q" }`, "line 1: unknown escape sequence")
	refuses("half an escape", `metrics: { name: "\`, "line 1: a string is missing, or is not closed on its line")
	refuses("a short code", `metrics: { name: "\u12" }`, "line 1: invalid escape sequence")
	refuses("a large code", `metrics: { name: "\777" }`, "line 1: invalid escape sequence")
	refuses("half a character", `metrics: { name: "\ud83d" }`, "line 1: invalid escape sequence")
	refuses("no UTF-8", `metrics: { name: "\xff" }`, "line 1: a string is not UTF-8")
	refuses("a boolean by number", start+`sync: 1 }`, "line 1: neither true nor false")
	refuses("an unknown constant", start+`type: TYPE_OTHER }`, "line 1: unknown name of a constant")
	refuses("a bound that is no integer", start+`distribution_bucket_lower_bounds: 1.5 }`, "line 1: not a decimal integer of 64 bits")
	refuses("an octal bound", start+`distribution_bucket_lower_bounds: 010 }`, "line 1: not a decimal integer of 64 bits")
	refuses("an unknown number", `x: 1C2`, "line 1: a value is missing")
	refuses("an extension", `[a.b]: 1`, "line 1: the name of a field is missing")
	refuses("deep nesting", strings.Repeat("a{", 100), "line 1: messages are nested deeper than 16 levels")
	refuses("a metric that the schema refuses", `metrics: { name: "/a" prometheus_name: "meta_a" }`,
		`registration refused: metric "meta_a": the prefix meta_ is reserved for the server`)
}

// FuzzParse compares the parser with the one of Go's protocol buffers: what this one accepts, the
// other accepts with the same values. It accepts less, for example in numbers.
func FuzzParse(f *testing.F) {
	f.Add([]byte(short))
	f.Add(testkit.Testdata(f, "metric-metadata.txt"))
	f.Add([]byte(`metrics<name:"/a" "b"prometheus_name:'a';description:"\x41\101\u00e9\"",units:1 type:TYPE_UINT64>stages:["a",'b']x{y:[1,2]}# c`))
	f.Add([]byte(`metrics{name:"/a" prometheus_name:"a" fields{field_name:"f" allowed_values:["x"]} type:1 distribution_bucket_lower_bounds:[1,2]}`))
	message := descriptor(f)
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Parse(text)
		if (r == nil) == (err == nil) {
			t.Fatalf("%v, %v", r, err)
		}
		if err != nil {
			return
		}
		other := dynamicpb.NewMessage(message)
		if err := (prototext.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(text, other); err != nil {
			t.Fatalf("accepted, but prototext says %v", err)
		}
		var got, want any
		if err := json.Unmarshal(r.JSON, &got); err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(encode(t, valueOf(other)), &want); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(sorted(t, got), sorted(t, want)) {
			t.Fatalf("got\n%v\nwant\n%v", got, want)
		}
	})
}

// sorted sorts the metrics of a registration and drops what is empty or null.
func sorted(t *testing.T, registration any) any {
	r := registration.(map[string]any)
	var metrics []string
	for _, m := range r["metrics"].([]any) {
		metrics = append(metrics, string(encode(t, m)))
	}
	slices.Sort(metrics)
	stages, _ := r["stages"].([]any)
	return []any{metrics, fmt.Sprint(stages)}
}

// valueOf returns a message as a value for JSON, without zero values. Constants are numbers.
func valueOf(m protoreflect.Message) map[string]any {
	object := make(map[string]any)
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if !f.IsList() {
			object[string(f.Name())] = scalarOf(v)
			return true
		}
		var list []any
		for i := range v.List().Len() {
			list = append(list, scalarOf(v.List().Get(i)))
		}
		object[string(f.Name())] = list
		return true
	})
	return object
}

func scalarOf(v protoreflect.Value) any {
	if m, ok := v.Interface().(protoreflect.Message); ok {
		return valueOf(m)
	}
	return v.Interface()
}

// descriptor returns a message type with the fields of a registration.
func descriptor(f *testing.F) protoreflect.MessageDescriptor {
	const types = `
		name: "r.proto" syntax: "proto3"
		enum_type { name: "Type" value { name: "TYPE_UINT64" number: 0 } value { name: "TYPE_DISTRIBUTION" number: 1 } }
		enum_type { name: "Units" value { name: "UNITS_NONE" number: 0 } value { name: "UNITS_NANOSECONDS" number: 1 } }
		message_type { name: "Field"
			field { name: "field_name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
			field { name: "allowed_values" number: 2 type: TYPE_STRING label: LABEL_REPEATED }
		}
		message_type { name: "Metric"
			field { name: "name" number: 1 type: TYPE_STRING label: LABEL_OPTIONAL }
			field { name: "prometheus_name" number: 2 type: TYPE_STRING label: LABEL_OPTIONAL }
			field { name: "description" number: 3 type: TYPE_STRING label: LABEL_OPTIONAL }
			field { name: "cumulative" number: 4 type: TYPE_BOOL label: LABEL_OPTIONAL }
			field { name: "sync" number: 5 type: TYPE_BOOL label: LABEL_OPTIONAL }
			field { name: "type" number: 6 type: TYPE_ENUM type_name: ".Type" label: LABEL_OPTIONAL }
			field { name: "units" number: 7 type: TYPE_ENUM type_name: ".Units" label: LABEL_OPTIONAL }
			field { name: "fields" number: 8 type: TYPE_MESSAGE type_name: ".Field" label: LABEL_REPEATED }
			field { name: "distribution_bucket_lower_bounds" number: 9 type: TYPE_INT64 label: LABEL_REPEATED }
		}
		message_type { name: "Registration"
			field { name: "metrics" number: 1 type: TYPE_MESSAGE type_name: ".Metric" label: LABEL_REPEATED }
			field { name: "stages" number: 2 type: TYPE_STRING label: LABEL_REPEATED }
		}`
	file := new(descriptorpb.FileDescriptorProto)
	if err := prototext.Unmarshal([]byte(types), file); err != nil {
		f.Fatal(err)
	}
	made, err := protodesc.NewFile(file, new(protoregistry.Files))
	if err != nil {
		f.Fatal(err)
	}
	return made.Messages().ByName("Registration")
}
