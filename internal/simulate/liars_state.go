package simulate

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

// hostile has what could break a page, a log line or a terminal.
const hostile = "\"} 1\nrunsc_fs_opens{sandbox=\"other\"} 7\n\\ \r\t\x00\x07\x1b[31m\x1b]0;title\x07\u202e\u2028\ufffe \u009b1m"

// hostileRaw is that as JSON, with bytes in it that are no UTF-8: no encoder of JSON writes it.
var hostileRaw = strings.TrimSuffix(string(mustJSON(hostile)), `"`) + "\xff\xfe\xc0\xaf\xed\xa0\x80" + `\ud800"`

// foreignTextLiars have strings that nobody should print as they are.
func foreignTextLiars() []Liar {
	raw := func(s *Spec, member string) {
		s.EditState = func(_ string, state []byte) []byte {
			return []byte(editMember(string(state), "", member, func(key, _ string) string { return key + hostileRaw }))
		}
	}
	return []Liar{
		is("pod-hostile", "has quotes, newlines, NUL and terminal escapes in its pod's name", func(s *Spec) { s.Pod = hostile }),
		is("namespace-hostile", "has them in its namespace", func(s *Spec) { s.Namespace = hostile }),
		is("pod-raw", "has them in its pod's name, and invalid UTF-8", func(s *Spec) { raw(s, `"podName":`) }),
		is("namespace-raw", "has them in its namespace, and invalid UTF-8", func(s *Spec) { raw(s, `"namespace":`) }),
		is("pod-long", "has a pod name of 1 MB", func(s *Spec) { s.Pod = strings.Repeat("p", 1<<20) }),
		is("metadata-value-hostile", "has them in the value of a metadata label", func(s *Spec) {
			s.Metadata = DefaultMetadata()
			s.Metadata["platform"] = hostile
		}),
		is("metadata-value-raw", "has them there, and invalid UTF-8", func(s *Spec) { raw(s, `"platform":`) }),
		is("metadata-key-hostile", "has them in the name of a metadata label", func(s *Spec) {
			s.Metadata = DefaultMetadata()
			s.Metadata[hostile] = "x"
		}),
		is("metadata-key-sandbox", "has a metadata label of the server's", func(s *Spec) {
			s.Metadata = DefaultMetadata()
			s.Metadata["sandbox"] = "other"
		}),
		is("metadata-many", "has 10,000 metadata labels", func(s *Spec) {
			s.Metadata = DefaultMetadata()
			for i := range 10_000 {
				s.Metadata[fmt.Sprint("key", i)] = "x"
			}
		}),
		is("capability-hostile", "has a capability that there is not", func(s *Spec) {
			s.Root.Capabilities = &Capabilities{Bounding: []string{"CAP_KILL", hostile}}
		}),
		is("oci-version-hostile", "has them in the version of its spec", func(s *Spec) { s.Root.OCIVersion = hostile }),
		does("error-hostile", "fails with a reason like that", Say(`{"success":false,"err":`+string(mustJSON(hostile))+`,"result":null}`)),
		does("error-raw", "fails with a reason like that and invalid UTF-8", Say(`{"success":false,"err":`+hostileRaw+`,"result":null}`)),
		does("label-raw", "has invalid UTF-8 in a label", Replace(`"334"`, hostileRaw)),
		does("name-raw", "has invalid UTF-8 in a metric's name", Replace(`"fs_opens"`, hostileRaw)),
		does("help-raw", "has invalid UTF-8 in a help text", Replace(`"Number of file opens."`, hostileRaw)),
		does("key-raw", "has invalid UTF-8 in the key of a member", Replace(opensHead, `{`+hostileRaw+`:1,"metric":{"name":"fs_opens"`)),
	}
}

// savingsLiars were restored, and lie about what that saved.
func savingsLiars() []Liar {
	lie := func(name, describe string, b Behavior) Liar {
		return is("savings-"+name, describe, func(s *Spec) {
			s.Restored = true
			s.Behavior = On(MethodSavings, b)
		})
	}
	say := func(result string) Behavior {
		return func(x *Exchange) error {
			return x.Send([]byte(`{"success":true,"err":"","result":` + result + `}`))
		}
	}
	return []Liar{
		lie("stalls", "does not say what its restore saved", Stall),
		lie("drips", "says it one byte every 200 ms", Drip(1, 200*time.Millisecond)),
		lie("hangs-up", "closes the connection when asked for it", HangUp(0)),
		lie("fails", "fails when asked for it", func(x *Exchange) error { return x.Send(appendError(nil, "unknown method")) }),
		lie("null", "says null", say("null")),
		lie("list", "says a list", say("[1,2]")),
		lie("text", "says texts", say(`{"CPUTimeSaved":"1s","WallTimeSaved":"2s"}`)),
		lie("float", "says fractions of nanoseconds", say(`{"CPUTimeSaved":1.5,"WallTimeSaved":2.5}`)),
		lie("overflows", "says more than 64 bits hold", say(`{"CPUTimeSaved":9223372036854775808,"WallTimeSaved":1}`)),
		lie("missing", "says half of it", say(`{"CPUTimeSaved":1}`)),
		lie("doubled", "says it twice", say(`{"CPUTimeSaved":1,"CPUTimeSaved":2,"WallTimeSaved":1}`)),
		lie("descriptors", "sends 120 open files with every byte of it", Descriptors(120)),
		lie("flood", "says it with 256 MB of spaces", func(x *Exchange) error {
			x.Method = MethodExport // the one that Flood is about
			return Flood("", " ", 256<<20, `{"success":true,"err":"","result":{"CPUTimeSaved":1,"WallTimeSaved":1}}`)(x)
		}),
	}
}

// stateLiars have state files that cannot be trusted to be read. runsc writes those, so these are
// accidents.
func stateLiars() []Liar {
	edit := func(name, describe string, f func(state []byte) []byte) Liar {
		return is("state-"+name, describe, func(s *Spec) {
			s.EditState = func(_ string, state []byte) []byte { return f(state) }
		})
	}
	member := func(name, describe, key, value string) Liar {
		return edit(name, describe, func(state []byte) []byte {
			return []byte(editMember(string(state), `"bundleDir"`, key, func(key, _ string) string { return key + value }))
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
		member("id-other", "has a state file that is another sandbox's", `"sandbox":{"id":`, `"other"`),
		member("sandbox-null", "has a state file without a sandbox", `"sandbox":`, "null"),
		member("pid-text", "has a text for a process ID", `"pid":`, `"1"`),
		member("pid-negative", "has a negative process ID", `"pid":`, "-1"),
		member("pid-huge", "has a process ID beyond all", `"pid":`, "9223372036854775807"),
		member("created-garbage", "was created at no time", `"createdAt":`, `"yesterday"`),
		member("started-garbage", "was started at no time", `"startTime":`, `"yesterday"`),
		member("registration-list", "has a list for a registration", `"registeredMetrics":`, "[]"),
		member("registration-text", "has a text for a registration", `"registeredMetrics":`, `"all"`),
		member("metadata-list", "has a list for its metadata", `"metricMetadata":`, "[]"),
		member("socket-relative", "names a control socket in no folder", `"controlSocketPath":`, `"../../x.sock"`),
		member("socket-long", "names a control socket with a path of 1 MB", `"controlSocketPath":`, `"/`+strings.Repeat("x", 1<<20)+`"`),
		member("socket-device", "names a device for a control socket", `"controlSocketPath":`, `"/dev/zero"`),
	}
}

// rewrite writes the state file over and over: each time it is empty, then half there, then whole, for a
// millisecond each.
func rewrite(s *Sandbox, stopped <-chan struct{}) {
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

// flap removes the state file, and writes it again.
func flap(s *Sandbox, stopped <-chan struct{}) {
	for pause(stopped, time.Millisecond) {
		s.files.Lock()
		s.removeState(s.id)
		s.files.Unlock()
		if pause(stopped, time.Millisecond) {
			s.Update(func(*Spec) {})
		}
	}
}

// pause waits, and says whether it did to the end.
func pause(stopped <-chan struct{}, d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-stopped:
		return false
	}
}

// registrationLiars registered what no server can serve. runsc takes registrations before anything
// untrusted runs, so these are mistakes of a release.
func registrationLiars() []Liar {
	bad := func(name, describe string, spoil func(m *Metric)) Liar {
		return is("registration-"+name, describe, func(s *Spec) {
			s.Registration, s.Points = RealRegistration(), Idle()
			m := Metric{Name: "/bad", PrometheusName: "bad", Description: "A bad one.", Cumulative: true}
			spoil(&m)
			s.Registration.Metrics = append(s.Registration.Metrics, m)
		})
	}
	named := func(name, describe, value string) Liar {
		return bad(name, describe, func(m *Metric) { m.PrometheusName = value })
	}
	fields := func(name, describe string, f ...Field) Liar {
		return bad(name, describe, func(m *Metric) { m.Fields = f })
	}
	bounds := func(name, describe string, n int) Liar {
		return bad(name, describe, func(m *Metric) {
			m.Type = Distribution
			for i := range n {
				m.Buckets = append(m.Buckets, int64(i))
			}
		})
	}
	one := []string{"1"}
	liars := []Liar{
		bad("name-empty", "registers a metric without a name", func(m *Metric) { m.Name = "" }),
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
		bad("help-hostile", "registers a help text that could break a page", func(m *Metric) { m.Description = hostile }),
		bad("help-long", "registers a help text of 1 MB", func(m *Metric) { m.Description = strings.Repeat("help ", 1<<20/5) }),
		bad("type-unknown", "registers a type that there is not", func(m *Metric) { m.Type = 2 }),
		bounds("bounds-none", "registers a distribution without bounds", 0),
		bounds("bounds-many", "registers a distribution with 256 bounds", 256),
		bad("bounds-unsorted", "registers a distribution with bounds out of order", func(m *Metric) { m.Type, m.Buckets = Distribution, []int64{10, 1} }),
		fields("field-twice", "registers a field twice", Field{"a", one}, Field{"a", one}),
		fields("field-empty", "registers a field without values", Field{"a", nil}),
		fields("value-twice", "registers a value twice", Field{"a", []string{"1", "1"}}),
		fields("value-long", "registers a value of 1 MB", Field{"a", []string{strings.Repeat("v", 1<<20)}}),
		fields("value-hostile", "registers a value that could break a page", Field{"a", []string{hostile}}),
		fields("field-no-label", "registers a field that is no label's name", Field{"a-b", one}),
		fields("many-series", "registers a billion series", many("a"), many("b"), many("c")),
	}
	for _, label := range []string{"sandbox", "iteration", "pod_name", "namespace_name", "le", "__name__", ""} {
		liars = append(liars, fields("field="+label, fmt.Sprintf("registers a field of the name %q", label), Field{label, one}))
	}
	return liars
}

// many returns a field with a thousand values.
func many(name string) Field {
	f := Field{Name: name}
	for i := range 1000 {
		f.Allowed = append(f.Allowed, fmt.Sprint(i))
	}
	return f
}
