package liars

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

// hostile has characters that could break a page, a log line or a terminal.
const hostile = "\"} 1\nrunsc_fs_opens{sandbox=\"other\"} 7\n\\ \r\t\x00\x07\x1b[31m\x1b]0;title\x07\u202e\u2028\ufffe \u009b1m"

// hostileRaw is hostile as a JSON string with invalid UTF-8, which no JSON encoder writes.
var hostileRaw = strings.TrimSuffix(quote(hostile), `"`) + "\xff\xfe\xc0\xaf\xed\xa0\x80" + `\ud800"`

// quote returns a text as JSON.
func quote(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		panic(err) // every string has an encoding
	}
	return string(b)
}

// foreignTextLiars have strings that must be escaped.
func foreignTextLiars() []Liar {
	raw := func(s *simulate.Spec, field string) {
		s.EditState = func(_ string, state []byte) []byte {
			return []byte(editField(string(state), "", field, func(key, _ string) string { return key + hostileRaw }))
		}
	}
	return []Liar{
		is("pod-hostile", "has quotes, newlines, NUL and terminal escapes in its pod's name", func(s *simulate.Spec) { s.Pod = hostile }),
		is("namespace-hostile", "has them in its namespace", func(s *simulate.Spec) { s.Namespace = hostile }),
		is("pod-raw", "has them in its pod's name, and invalid UTF-8", func(s *simulate.Spec) { raw(s, `"podName":`) }),
		is("namespace-raw", "has them in its namespace, and invalid UTF-8", func(s *simulate.Spec) { raw(s, `"namespace":`) }),
		is("pod-long", "has a pod name of 1 MB", func(s *simulate.Spec) { s.Pod = strings.Repeat("p", 1<<20) }),
		is("metadata-value-hostile", "has them in the value of a metadata label", func(s *simulate.Spec) {
			s.Metadata = simulate.DefaultMetadata()
			s.Metadata["platform"] = hostile
		}),
		is("metadata-value-raw", "has them there, and invalid UTF-8", func(s *simulate.Spec) { raw(s, `"platform":`) }),
		is("metadata-key-hostile", "has them in the name of a metadata label", func(s *simulate.Spec) {
			s.Metadata = simulate.DefaultMetadata()
			s.Metadata[hostile] = "x"
		}),
		is("metadata-key-sandbox", "has a metadata label of the server's", func(s *simulate.Spec) {
			s.Metadata = simulate.DefaultMetadata()
			s.Metadata["sandbox"] = "other"
		}),
		is("metadata-many", "has 10,000 metadata labels", func(s *simulate.Spec) {
			s.Metadata = simulate.DefaultMetadata()
			for i := range 10_000 {
				s.Metadata[fmt.Sprint("key", i)] = "x"
			}
		}),
		is("capability-hostile", "has an unknown capability", func(s *simulate.Spec) {
			s.Root.Capabilities = &simulate.Capabilities{Bounding: []string{"CAP_KILL", hostile}}
		}),
		is("oci-version-hostile", "has them in the version of its spec", func(s *simulate.Spec) { s.Root.OCIVersion = hostile }),
		does("error-hostile", "fails with a reason like that", simulate.Say(`{"success":false,"err":`+quote(hostile)+`,"result":null}`)),
		does("error-raw", "fails with a reason like that and invalid UTF-8", simulate.Say(`{"success":false,"err":`+hostileRaw+`,"result":null}`)),
		does("label-raw", "has invalid UTF-8 in a label", simulate.Replace(`"334"`, hostileRaw)),
		does("name-raw", "has invalid UTF-8 in a metric's name", simulate.Replace(`"fs_opens"`, hostileRaw)),
		does("help-raw", "has invalid UTF-8 in a help text", simulate.Replace(`"Number of file opens."`, hostileRaw)),
		does("key-raw", "has invalid UTF-8 in the key of a field", simulate.Replace(opensHead, `{`+hostileRaw+`:1,"metric":{"name":"fs_opens"`)),
	}
}

// savingsLiars were restored, and lie about their savings.
func savingsLiars() []Liar {
	lie := func(name, describe string, b simulate.Behavior) Liar {
		return is("savings-"+name, describe, func(s *simulate.Spec) {
			s.Restored = true
			s.Behavior = simulate.On(simulate.MethodSavings, b)
		})
	}
	say := func(result string) simulate.Behavior {
		return func(x *simulate.Exchange) error {
			return x.Send([]byte(`{"success":true,"err":"","result":` + result + `}`))
		}
	}
	return []Liar{
		lie("stalls", "never replies to the savings request", simulate.Stall),
		lie("drips", "sends its savings one byte every 200 ms", simulate.Drip(1, 200*time.Millisecond)),
		lie("hangs-up", "closes the connection when queried for its savings", simulate.HangUp(0)),
		lie("fails", "fails when queried for its savings", func(x *simulate.Exchange) error {
			return x.Send([]byte(`{"success":false,"err":"unknown method","result":null}`))
		}),
		lie("null", "sends null for its savings", say("null")),
		lie("list", "sends a list for its savings", say("[1,2]")),
		lie("text", "sends texts for its savings", say(`{"CPUTimeSaved":"1s","WallTimeSaved":"2s"}`)),
		lie("float", "sends fractions of nanoseconds", say(`{"CPUTimeSaved":1.5,"WallTimeSaved":2.5}`)),
		lie("overflows", "sends more than 64 bits hold", say(`{"CPUTimeSaved":9223372036854775808,"WallTimeSaved":1}`)),
		lie("missing", "sends one of the two savings", say(`{"CPUTimeSaved":1}`)),
		lie("doubled", "sends a saving twice", say(`{"CPUTimeSaved":1,"CPUTimeSaved":2,"WallTimeSaved":1}`)),
		lie("descriptors", "sends 120 open files with every byte of its savings", simulate.Descriptors(120)),
		lie("flood", "sends its savings with 256 MB of spaces", func(x *simulate.Exchange) error {
			x.Method = simulate.MethodExport // the one that Flood is about
			return simulate.Flood("", " ", 256<<20, `{"success":true,"err":"","result":{"CPUTimeSaved":1,"WallTimeSaved":1}}`)(x)
		}),
	}
}

// stateLiars have broken state files. runsc writes state files, so these are accidents rather than
// attacks.
func stateLiars() []Liar {
	edit := func(name, describe string, f func(state []byte) []byte) Liar {
		return is("state-"+name, describe, func(s *simulate.Spec) {
			s.EditState = func(_ string, state []byte) []byte { return f(state) }
		})
	}
	jsonField := func(name, describe, key, value string) Liar {
		return edit(name, describe, func(state []byte) []byte {
			return []byte(editField(string(state), `"bundleDir"`, key, func(key, _ string) string { return key + value }))
		})
	}
	return []Liar{
		{Name: "state-changing", Describe: "has a state file that is written again and again, slowly", Meddle: rewrite},
		{Name: "state-flapping", Describe: "has a state file that comes and goes", Meddle: flap},
		edit("empty", "has an empty state file", func([]byte) []byte { return nil }),
		edit("garbage", "has a state file of garbage", func([]byte) []byte { return []byte(everyByte()) }),
		edit("half", "has half a state file", func(state []byte) []byte { return state[:len(state)/2] }),
		edit("deep", "has a state file that nests a million deep", func([]byte) []byte { return bytes.Repeat([]byte(`{"sandbox":`), 1_000_000) }),
		edit("huge", "has a state file of 100 MB", func(state []byte) []byte {
			return append(bytes.Repeat([]byte(" "), 100<<20), state...)
		}),
		edit("followed", "has a state file with garbage behind it", func(state []byte) []byte { return append(state, "}{"...) }),
		edit("null", "has a state file that says null", func([]byte) []byte { return []byte("null") }),
		jsonField("id-other", "has a state file that is another sandbox's", `"sandbox":{"id":`, `"other"`),
		jsonField("sandbox-null", "has a state file without a sandbox", `"sandbox":`, "null"),
		jsonField("pid-text", "has a text for a process ID", `"pid":`, `"1"`),
		jsonField("pid-negative", "has a negative process ID", `"pid":`, "-1"),
		jsonField("pid-huge", "has a process ID out of range", `"pid":`, "9223372036854775807"),
		jsonField("created-garbage", "has an invalid creation time", `"createdAt":`, `"yesterday"`),
		jsonField("started-garbage", "has an invalid start time", `"startTime":`, `"yesterday"`),
		jsonField("registration-list", "has a list for a registration", `"registeredMetrics":`, "[]"),
		jsonField("registration-text", "has a text for a registration", `"registeredMetrics":`, `"all"`),
		jsonField("metadata-list", "has a list for its metadata", `"metricMetadata":`, "[]"),
		jsonField("socket-relative", "names a control socket with a relative path", `"controlSocketPath":`, `"../../x.sock"`),
		jsonField("socket-abstract", "names an abstract control socket", `"controlSocketPath":`, `"@x"`),
		jsonField("socket-long", "names a control socket with a path of 1 MB", `"controlSocketPath":`, `"/`+strings.Repeat("x", 1<<20)+`"`),
		jsonField("socket-device", "names a device for a control socket", `"controlSocketPath":`, `"/dev/zero"`),
	}
}

// rewrite writes the state file again and again: empty, half, and whole, for a millisecond each.
func rewrite(s *simulate.Sandbox, stopped <-chan struct{}) {
	state, err := os.ReadFile(s.StatePath(""))
	for err == nil {
		for _, n := range []int{0, len(state) / 2, len(state)} {
			err = errors.Join(err, s.WriteState("", state[:n]))
			if !pause(stopped, time.Millisecond) {
				return
			}
		}
	}
}

// flap removes and writes the state file again and again.
func flap(s *simulate.Sandbox, stopped <-chan struct{}) {
	for pause(stopped, time.Millisecond) {
		s.RemoveState("")
		if pause(stopped, time.Millisecond) {
			s.Update(func(*simulate.Spec) {})
		}
	}
}

// pause waits, and returns false if stopped is closed first.
func pause(stopped <-chan struct{}, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-stopped:
		return false
	}
}

// registrationLiars have invalid registrations. Metrics are registered before any untrusted process
// runs, so these would be bugs of a runsc release.
func registrationLiars() []Liar {
	bad := func(name, describe string, spoil func(m *simulate.Metric)) Liar {
		return is("registration-"+name, describe, func(s *simulate.Spec) {
			s.Registration, s.Points = simulate.RealRegistration(), simulate.Idle()
			m := simulate.Metric{Name: "/bad", PrometheusName: "bad", Description: "A bad one.", Cumulative: true}
			spoil(&m)
			s.Registration.Metrics = append(s.Registration.Metrics, m)
		})
	}
	named := func(name, describe, value string) Liar {
		return bad(name, describe, func(m *simulate.Metric) { m.PrometheusName = value })
	}
	fields := func(name, describe string, f ...simulate.Field) Liar {
		return bad(name, describe, func(m *simulate.Metric) { m.Fields = f })
	}
	bounds := func(name, describe string, n int) Liar {
		return bad(name, describe, func(m *simulate.Metric) {
			m.Type = simulate.Distribution
			for i := range n {
				m.Buckets = append(m.Buckets, int64(i))
			}
		})
	}
	one := []string{"1"}
	liars := []Liar{
		bad("name-empty", "registers a metric without a name", func(m *simulate.Metric) { m.Name = "" }),
		named("prometheus-name-empty", "registers a metric without a Prometheus name", ""),
		named("name-twice", "registers a name twice", "fs_opens"),
		named("name-meta", "registers a metric of the server's", "meta_sandbox_running"),
		named("name-reserved", "registers a metric of the process's", "process_start_time_seconds"),
		named("name-upper", "registers a name that begins with a capital", "Bad"),
		named("name-digit", "registers a name that begins with a digit", "9bad"),
		named("name-underscore", "registers a name that begins with an underscore", "_bad"),
		named("name-colon", "registers a name with a colon", "bad:one"),
		named("name-hostile", "registers a name that could break a page", hostile),
		named("name-long", "registers a name of 1 MB", strings.Repeat("b", 1<<20)),
		bad("help-hostile", "registers a help text that could break a page", func(m *simulate.Metric) { m.Description = hostile }),
		bad("help-long", "registers a help text of 1 MB", func(m *simulate.Metric) { m.Description = strings.Repeat("help ", 1<<20/5) }),
		bad("type-unknown", "registers an unknown type", func(m *simulate.Metric) { m.Type = 2 }),
		bounds("bounds-none", "registers a distribution without bounds", 0),
		bounds("bounds-many", "registers a distribution with 256 bounds", 256),
		bad("bounds-unsorted", "registers a distribution with bounds out of order", func(m *simulate.Metric) { m.Type, m.Buckets = simulate.Distribution, []int64{10, 1} }),
		fields("field-twice", "registers a field twice", field("a", one), field("a", one)),
		fields("field-empty", "registers a field without values", field("a", nil)),
		fields("value-twice", "registers a value twice", field("a", []string{"1", "1"})),
		fields("value-long", "registers a value of 1 MB", field("a", []string{strings.Repeat("v", 1<<20)})),
		fields("value-hostile", "registers a value that could break a page", field("a", []string{hostile})),
		fields("field-no-label", "registers a field that is not a valid label name", field("a-b", one)),
		fields("many-series", "registers a billion series", many("a"), many("b"), many("c")),
	}
	for _, label := range []string{"sandbox", "iteration", "pod_name", "namespace_name", "le", "__name__", ""} {
		liars = append(liars, fields("field="+label, fmt.Sprintf("registers a field of the name %q", label), field(label, one)))
	}
	return liars
}

// field returns a field with the values that it may have.
func field(name string, allowed []string) simulate.Field {
	return simulate.Field{Name: name, Allowed: allowed}
}

// many returns a field with 1,000 values.
func many(name string) simulate.Field {
	f := simulate.Field{Name: name}
	for i := range 1000 {
		f.Allowed = append(f.Allowed, fmt.Sprint(i))
	}
	return f
}
