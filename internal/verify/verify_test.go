package verify

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// registration has a metric of every kind.
const registration = `{"metrics":[
	{"name":"/fs/opens","prometheus_name":"fs_opens","description":"Number of file opens.","cumulative":true},
	{"name":"/fs/reads","prometheus_name":"fs_reads","description":"Number of file reads.","cumulative":true},
	{"name":"/net/open","prometheus_name":"net_open","description":"Open connections."},
	{"name":"/calls","prometheus_name":"calls","description":"Calls by \"kind\" & result.","cumulative":true,"fields":[
		{"field_name":"result","allowed_values":["ok","EPERM"]},
		{"field_name":"kind","allowed_values":["read","write","a\\b"]}]},
	{"name":"/lat","prometheus_name":"lat","description":"Latency.","type":1,"distribution_bucket_lower_bounds":[10,20]}
],"stages":[]}`

var (
	now  = time.Date(2026, 11, 22, 9, 15, 0, 0, time.UTC)
	when = now.Add(-time.Second)
)

// Parts of honest replies.
const (
	opens3  = `{"metric":{"name":"fs_opens","type":2,"help":"Number of file opens."},"val":{"int":3}}`
	opens5  = `{"metric":{"name":"fs_opens","type":2,"help":"Number of file opens."},"val":{"int":5}}`
	reads1  = `{"metric":{"name":"fs_reads","type":2,"help":"Number of file reads."},"val":{"int":1}}`
	conns0  = `{"metric":{"name":"net_open","type":1,"help":"Open connections."},"val":{}}`
	conns7  = `{"metric":{"name":"net_open","type":1,"help":"Open connections."},"val":{"int":7}}`
	callsOK = `{"metric":{"name":"calls","type":2,"help":"Calls by \"kind\" \u0026 result."},"labels":{"kind":"read","result":"ok"},"val":{"int":2}}`
)

// hist is a histogram of 1, 2 and 3 samples.
const hist = `{"metric":{"name":"lat","type":3,"help":"Latency."},"histogram":` + histBody + `}`

const histBody = `{"total":{"int":90},"min":{"int":4},"max":{"int":40},"ssd":{"float":12.5},"buckets":[` +
	`{"le":{"int":10},"n":1},{"le":{"int":20},"n":2},{"le":{},"n":3}]}`

func replyAt(when time.Time, points ...string) string {
	data := ""
	if len(points) > 0 {
		data = `,"data":[` + strings.Join(points, ",") + `]`
	}
	return fmt.Sprintf(`{"success":true,"err":"","result":{"snapshot":{"when":%q%s}}}`, when.Format(time.RFC3339Nano), data)
}

func reply(points ...string) string { return replyAt(when, points...) }

func compile(t testing.TB, registration string) *schema.Schema {
	t.Helper()
	s, err := schema.Compile([]byte(registration))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// show renders a baseline for comparison: "fs_opens=3 calls{kind=read,result=ok}=2".
func show(s *schema.Schema, b *Baseline) string {
	var parts []string
	for _, sample := range b.Samples {
		m := &s.Metrics[sample.Metric]
		var labels []string
		for i, v := range m.Labels(sample.Series) {
			labels = append(labels, m.Fields[i].Name+"="+v)
		}
		text := m.Name
		if labels != nil {
			text += "{" + strings.Join(labels, ",") + "}"
		}
		if m.Type == schema.Histogram {
			h := b.histogram(sample)
			text += fmt.Sprintf("=%v/%g:%g..%g~%g", h.Counts, h.Total.AsFloat(), h.Min.AsFloat(), h.Max.AsFloat(), h.SSD)
		} else {
			text += fmt.Sprintf("=%d", sample.Value)
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, " ")
}

// export verifies a reply against the baseline, and makes it the baseline if it keeps the rules.
func export(v *Verifier, reply control.Reply, s *schema.Schema, b *Baseline, now time.Time) error {
	next, err := v.Export(reply, s, *b, now)
	if err == nil {
		*b = next
	}
	return err
}

// wantRule fails the test unless the error is a breach of the rule.
func wantRule(t *testing.T, what string, err error, want Rule) {
	t.Helper()
	if broken, ok := errors.AsType[*Breach](err); !ok || broken.Rule != want {
		t.Errorf("%.300s: got %v, want a breach of %q", what, err, want)
	}
}

func TestExportAccepts(t *testing.T) {
	s := compile(t, registration)
	accept := func(name, reply, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var v Verifier
			var b Baseline
			if err := export(&v, control.NewReply([]byte(reply)), s, &b, now); err != nil {
				t.Fatal(err)
			}
			if got := show(s, &b); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
			if !b.When.Equal(when) {
				t.Errorf("time is %v, want %v", b.When, when)
			}
		})
	}
	accept("nothing", reply(), "")
	accept("an empty list", strings.Replace(reply(opens3), opens3, "", 1), "")
	accept("a gauge of zero", reply(conns0), "net_open=0")
	accept("a negative gauge", reply(strings.Replace(conns7, "7", "-7", 1)), "net_open=-7")
	accept("the largest counter", reply(strings.Replace(opens3, "3", "9223372036854775807", 1)), "fs_opens=9223372036854775807")
	accept("the lowest gauge", reply(strings.Replace(conns7, "7", "-9223372036854775808", 1)), "net_open=-9223372036854775808")
	accept("fields", reply(callsOK), "calls{kind=read,result=ok}=2")
	accept("fields in another order", reply(strings.Replace(callsOK, `"kind":"read","result":"ok"`, `"result":"ok","kind":"read"`, 1)), "calls{kind=read,result=ok}=2")
	accept("a value with an escape", reply(strings.Replace(callsOK, "read", `a\\b`, 1)), `calls{kind=a\b,result=ok}=2`)
	accept("a histogram", reply(hist), "lat=[1 2 3]/90:4..40~12.5")
	accept("a histogram whose last bound says anything", reply(strings.Replace(hist, `"le":{}`, `"le":{"float":1e308}`, 1)), "lat=[1 2 3]/90:4..40~12.5")
	accept("a histogram with an empty bucket", reply(strings.Replace(hist, `,"n":2`, ``, 1)), "lat=[1 0 3]/90:4..40~12.5")
	accept("any order of points, samples in that of the schema", reply(reads1, hist, conns0, callsOK, opens3),
		"calls{kind=read,result=ok}=2 fs_opens=3 fs_reads=1 lat=[1 2 3]/90:4..40~12.5 net_open=0")
	accept("another order of fields", `{"result":{"snapshot":{"data":[{"val":{"int":2},"labels":{"result":"ok","kind":"read"},`+
		`"metric":{"help":"Calls by \"kind\" & result.","type":2,"name":"calls"}},{"histogram":`+histBody+`,"metric":{"help":"Latency.","name":"lat","type":3}}],`+
		`"when":"`+when.Format(time.RFC3339Nano)+`"}},"err":"","success":true}`,
		"calls{kind=read,result=ok}=2 lat=[1 2 3]/90:4..40~12.5")
	accept("white space", strings.NewReplacer(":", " :\n", ",", "\t, ").Replace(`{"success":true,"err":"","result":{"snapshot":{"data":[`)+
		opens3+`],"when":"`+when.Format(time.RFC3339Nano)+`"}}} `, "fs_opens=3")
	accept("unknown fields", strings.NewReplacer(`"val"`, `"external_labels":{"sandbox":"x","a":[{}]},"val"`, `"err"`, `"extra":null,"err"`).
		Replace(reply(opens3)), "fs_opens=3")
	accept("a time with an offset", strings.Replace(reply(opens3), when.Format(time.RFC3339Nano),
		when.In(time.FixedZone("", 7200)).Format(time.RFC3339Nano), 1), "fs_opens=3")
	accept("a reply 10 seconds old but a little", replyAt(when), "")
}

// TestRules breaks each rule alone, in a reply that follows an honest one, and checks that nothing
// of it was kept.
func TestRules(t *testing.T) {
	s := compile(t, registration)
	first := reply(opens3, callsOK, hist)
	refuse := func(name string, rule Rule, metric, reply string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var v Verifier
			var b Baseline
			if err := export(&v, control.NewReply([]byte(first)), s, &b, now); err != nil {
				t.Fatal(err)
			}
			before := show(s, &b)
			err := export(&v, control.NewReply([]byte(reply)), s, &b, now)
			var broken *Breach
			if !errors.As(err, &broken) {
				t.Fatalf("got error %v, want a breach of %q", err, rule)
			}
			if broken.Rule != rule || broken.Metric != metric {
				t.Errorf("got metric %q: %v, want metric %q: %v", broken.Metric, broken, metric, rule)
			}
			if !strings.Contains(err.Error(), string(rule)) || !strings.Contains(err.Error(), metric) {
				t.Errorf("the message %q does not name rule %q and metric %q", err, rule, metric)
			}
			if after := show(s, &b); after != before || !b.When.Equal(when) {
				t.Errorf("the baseline changed\nfrom %s\nto   %s (%v)", before, after, b.When)
			}
			// The next honest reply is accepted.
			if err := export(&v, control.NewReply([]byte(first)), s, &b, now); err != nil {
				t.Errorf("the next reply: %v", err)
			}
		})
	}
	// change returns the first reply with one change.
	change := func(old, new string) string {
		t.Helper()
		if !strings.Contains(first, old) {
			t.Fatalf("%q is not in the reply", old)
		}
		return strings.Replace(first, old, new, 1)
	}

	refuse("no JSON", RuleJSON, "", `nonsense}`)
	refuse("nothing but a space", RuleJSON, "", "\x00}")
	refuse("an array", RuleJSON, "", `[]`)
	refuse("bytes behind the reply", RuleJSON, "", first+"{}")
	refuse("nested without end", RuleJSON, "", `{"x":`+strings.Repeat(`[`, 100000)+`}`)
	refuse("success is missing", RuleField, "", change(`"success":true,`, ``))
	refuse("success is doubled", RuleField, "", change(`"success":true`, `"success":true,"success":true`))
	refuse("success is a word", RuleField, "", change(`"success":true`, `"success":"true"`))
	refuse("err is a number", RuleField, "", change(`"err":""`, `"err":0`))
	refuse("the result is missing", RuleField, "", `{"success":true,"err":""}`)
	refuse("the result is null", RuleField, "", `{"success":true,"err":"","result":null}`)
	refuse("the result is doubled", RuleField, "", change(`"err":""`, `"err":"","result":null`))
	refuse("the snapshot is null", RuleField, "", `{"success":true,"err":"","result":{"snapshot":null}}`)
	refuse("the snapshot is missing", RuleField, "", `{"success":true,"err":"","result":{}}`)
	refuse("the time is missing", RuleField, "", `{"success":true,"err":"","result":{"snapshot":{"data":[]}}}`)
	refuse("the time is no time", RuleField, "", `{"success":true,"err":"","result":{"snapshot":{"when":"now"}}}`)
	refuse("the data are null", RuleField, "", `{"success":true,"err":"","result":{"snapshot":{"when":"`+when.Format(time.RFC3339Nano)+`","data":null}}}`)
	refuse("a point is null", RuleField, "", change(opens3, `null`))
	refuse("a metric is null", RuleField, "", change(opens3, `{"metric":null,"val":{}}`))
	refuse("a metric is missing", RuleField, "", change(opens3, `{"val":{}}`))
	refuse("a metric is doubled", RuleField, "fs_opens", change(`{"metric":{"name":"fs_opens"`, `{"metric":{"name":"fs_opens","type":2,"help":"Number of file opens."},"metric":{"name":"fs_opens"`))
	refuse("a name is missing", RuleField, "", change(`"name":"fs_opens",`, ``))
	refuse("a name is doubled", RuleField, "", change(`"name":"fs_opens"`, `"name":"fs_opens","name":"fs_opens"`))
	refuse("a value is null", RuleField, "fs_opens", change(`"val":{"int":3}`, `"val":null`))
	refuse("labels are null", RuleField, "calls", change(`"labels":{"kind":"read","result":"ok"}`, `"labels":null`))
	refuse("a label is null", RuleField, "calls", change(`"kind":"read"`, `"kind":null`))

	refuse("success with an error", RuleContradiction, "", change(`"err":""`, `"err":"x"`))
	refuse("error with a result", RuleContradiction, "", change(`"success":true`, `"success":false`))
	refuse("an error", RuleError, "", `{"success":false,"err":"unknown method","result":null}`)

	refuse("a time in the future", RuleFuture, "", replyAt(now.Add(time.Millisecond), opens5, callsOK, hist))
	refuse("a time long ago", RuleStale, "", replyAt(now.Add(-10*time.Second-1), opens5, callsOK, hist))
	refuse("a time before the last", RuleOrder, "", replyAt(when.Add(-1), opens5, callsOK, hist))

	refuse("not registered", RuleUnregistered, "", change(`fs_opens`, `fs_closes`))
	refuse("with the exporter's prefix", RuleUnregistered, "", change(`fs_opens`, `runsc_fs_opens`))
	refuse("another type", RuleType, "fs_opens", change(`"fs_opens","type":2`, `"fs_opens","type":1`))
	refuse("no type", RuleType, "fs_opens", change(`"fs_opens","type":2,`, `"fs_opens",`))
	refuse("another help text", RuleHelp, "fs_opens", change(`file opens.`, `file opens!`))
	refuse("no help text", RuleHelp, "fs_opens", change(`,"help":"Number of file opens."`, ``))
	refuse("labels are missing", RuleLabels, "calls", change(`"labels":{"kind":"read","result":"ok"},`, ``))
	refuse("a label is missing", RuleLabels, "calls", change(`,"result":"ok"`, ``))
	refuse("a label is added", RuleLabels, "calls", change(`"result":"ok"`, `"result":"ok","x":"y"`))
	refuse("a label is doubled", RuleLabels, "calls", change(`"result":"ok"`, `"kind":"read"`))
	refuse("a label where none is registered", RuleLabels, "fs_opens", change(`"val":{"int":3}`, `"labels":{"sandbox":"x"},"val":{"int":3}`))
	refuse("a label's value is not allowed", RuleLabelValue, "calls", change(`"ok"`, `"EINVAL"`))
	refuse("an escape that looks like an allowed value", RuleLabelValue, "calls", change(`"kind":"read"`, `"kind":"a\b"`))
	refuse("a series twice", RuleSeriesTwice, "fs_opens", change(opens3, opens3+","+opens5))

	refuse("a value and a histogram", RuleOneValue, "lat", change(`"histogram":`, `"val":{},"histogram":`))
	refuse("neither value nor histogram", RuleOneValue, "fs_opens", change(`,"val":{"int":3}`, ``))
	refuse("a value for a histogram", RuleKind, "lat", change(hist, `{"metric":{"name":"lat","type":3,"help":"Latency."},"val":{"int":1}}`))
	refuse("a histogram for a counter", RuleKind, "fs_opens", change(`"val":{"int":3}`, `"histogram":`+histBody))
	refuse("a float", RuleInteger, "fs_opens", change(`"int":3`, `"float":3`))
	refuse("an integer with a fraction", RuleInteger, "fs_opens", change(`"int":3`, `"int":3.0`))
	refuse("an integer that overflows", RuleInteger, "fs_opens", change(`"int":3`, `"int":9223372036854775808`))
	refuse("NaN", RuleField, "fs_opens", change(`"int":3`, `"int":NaN`))
	refuse("a float that overflows", RuleJSON, "", change(`"ssd":{"float":12.5}`, `"ssd":{"float":1e999}`))
	refuse("an integer and a float", RuleNumber, "fs_opens", change(`"int":3`, `"int":3,"float":1.5`))
	refuse("an integer with a leading zero", RuleJSON, "", change(`"int":3`, `"int":03`))
	refuse("a negative counter", RuleNegative, "fs_opens", change(`"int":3`, `"int":-3`))
	refuse("a counter that decreases", RuleDecrease, "fs_opens", change(`"int":3`, `"int":2`))
	refuse("a counter that is gone", RuleDecrease, "fs_opens", change(opens3+",", ``))

	refuse("a field of a histogram is missing", RuleField, "lat", change(`"min":{"int":4},`, ``))
	refuse("a bucket is null", RuleField, "lat", change(`{"le":{},"n":3}`, `null`))
	refuse("a bucket whose count is gone", RuleBucket, "lat", change(`"n":3`, `"m":3`))
	refuse("a bucket too few", RuleBounds, "lat", change(`{"le":{"int":10},"n":1},`, ``))
	refuse("no last bucket", RuleBounds, "lat", change(`,{"le":{},"n":3}`, ``))
	refuse("a bucket too many", RuleBounds, "lat", change(`{"le":{},"n":3}`, `{"le":{},"n":3},{"le":{},"n":3}`))
	refuse("another bound", RuleBounds, "lat", change(`{"le":{"int":10}`, `{"le":{"int":11}`))
	refuse("a negative count", RuleNegative, "lat", change(`"n":3`, `"n":-3`))
	refuse("counts that overflow together", RuleNumber, "lat", strings.NewReplacer(`"n":1`, `"n":9223372036854775807`, `"n":2`, `"n":9223372036854775807`).Replace(first))
	refuse("a bucket that decreases", RuleBucket, "lat", change(`"n":3`, `"n":2`))
	refuse("a histogram that is gone", RuleBucket, "lat", change(","+hist, ``))
	refuse("a deviation that decreases", RuleDeviation, "lat", change(`12.5`, `12.4`))
	refuse("a negative deviation", RuleDeviation, "lat", change(`12.5`, `-1`))
	refuse("a minimum that rises", RuleMin, "lat", change(`"min":{"int":4}`, `"min":{"int":5}`))
	refuse("a maximum that falls", RuleMax, "lat", change(`"max":{"int":40}`, `"max":{"int":39}`))
}

// TestProgress has changes that are allowed from one reply to the next.
func TestProgress(t *testing.T) {
	s := compile(t, registration)
	sequence := func(name string, want string, replies ...string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var v Verifier
			var b Baseline
			for i, a := range replies {
				if err := export(&v, control.NewReply([]byte(a)), s, &b, now); err != nil {
					t.Fatalf("reply %d: %v", i+1, err)
				}
			}
			if got := show(s, &b); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	sequence("the same again", "fs_opens=3", reply(opens3), reply(opens3))
	sequence("a counter that begins", "fs_opens=3 fs_reads=1", reply(opens3), reply(opens3, reads1))
	sequence("a gauge that goes down", "net_open=0", reply(conns7), reply(conns0))
	sequence("a histogram that begins with other extremes than zero", "lat=[1 2 3]/90:4..40~12.5", reply(), reply(hist))
	sequence("an empty histogram says nothing of extremes", "lat=[1 2 3]/90:4..40~12.5",
		reply(strings.NewReplacer(`"n":1`, `"n":0`, `"n":2`, `"n":0`, `"n":3`, `"n":0`, `"max":{"int":40}`, `"max":{"int":99}`, `"min":{"int":4}`, `"min":{}`).Replace(hist)), reply(hist))
}

// TestClockJumps: sandboxes and the server have the same clock, so steps of the clock do not cause
// refusals.
func TestClockJumps(t *testing.T) {
	s := compile(t, registration)
	var v Verifier
	var b Baseline
	clock := now
	for _, jump := range []time.Duration{0, time.Second, -time.Hour, time.Second, 24 * time.Hour, time.Millisecond, -time.Nanosecond} {
		clock = clock.Add(jump)
		if err := export(&v, control.NewReply([]byte(replyAt(clock, opens3))), s, &b, clock); err != nil {
			t.Errorf("after a jump of %v: %v", jump, err)
		}
		// A reply that is older than the last one by the same clock is refused.
		err := export(&v, control.NewReply([]byte(replyAt(clock.Add(-time.Millisecond), opens3))), s, &b, clock)
		wantRule(t, fmt.Sprintf("after a jump of %v, an older reply", jump), err, RuleOrder)
	}
}

// TestBaselinesAreImmutable: later replies do not change a baseline, and equal samples share
// memory.
func TestBaselinesAreImmutable(t *testing.T) {
	s := compile(t, registration)
	var v Verifier
	verified := func(last Baseline, points ...string) Baseline {
		t.Helper()
		next, err := v.Export(control.NewReply([]byte(reply(points...))), s, last, now)
		if err != nil {
			t.Fatal(err)
		}
		return next
	}
	first := verified(Baseline{}, opens3, conns7, hist)
	before := show(s, &first)
	second := verified(first, opens5, conns0, hist)
	if got := show(s, &first); got != before {
		t.Errorf("the next reply changed the baseline from %s to %s", before, got)
	}
	if third := verified(second, opens5, conns0, hist); &third.Samples[0] != &second.Samples[0] {
		t.Error("a reply that says the same has samples of its own")
	}
	if _, err := v.Export(control.NewReply([]byte(reply(opens3))), s, second, now); err == nil || show(s, &first) != before {
		t.Errorf("after a refused reply (%v) the baseline is %s", err, show(s, &first))
	}
}

// TestIncomplete cuts an honest reply at every byte.
func TestIncomplete(t *testing.T) {
	s := compile(t, registration)
	whole := reply(opens3, callsOK, conns0, hist)
	var v Verifier
	var b Baseline
	for i := range len(whole) {
		if err := export(&v, control.NewReply([]byte(whole[:i])), s, &b, now); !errors.Is(err, ErrIncomplete) {
			t.Fatalf("%d bytes of %d: got %v, want %v\n%s", i, len(whole), err, ErrIncomplete, whole[:i])
		}
	}
	if err := export(&v, control.NewReply([]byte(whole)), s, &b, now); err != nil {
		t.Fatal(err)
	}
}

// TestCaptured verifies replies of a real sandbox by its real registration.
func TestCaptured(t *testing.T) {
	s := compile(t, string(testkit.Testdata(t, "registration.json")))
	check := func(file, want string) {
		t.Helper()
		var v Verifier
		var b Baseline
		reply := testkit.Testdata(t, file)
		if err := export(&v, control.NewReply(reply), s, &b, time.Date(2026, 11, 22, 9, 15, 0, 0, time.UTC)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if got := show(s, &b); got != want {
			t.Errorf("%s: got  %s\nwant %s", file, got, want)
		}
		v.begin(s)
		if !v.readExpected(reply) {
			t.Errorf("%s: a real reply does not have the form that is read fast", file)
		}
	}
	check("export_all.response.bin", "fs_opens=51 fs_reads=36 gofer_opens_host=13 gofer_reads_host=24 "+
		"netstack_tcp_current_established=0 netstack_tcp_current_open=0 sentry_entry_point{entry_point_type=runsc}=1 unimplemented_syscalls{sysno=334}=6")
	check("export_fs.response.bin", "fs_opens=51 fs_reads=36")
	check("export_none_match.response.bin", "")
}

func TestSavings(t *testing.T) {
	read := func(reply string) (Savings, error) { return ReadSavings(control.NewReply([]byte(reply))) }
	accept := func(reply string, cpu, wall time.Duration) {
		t.Helper()
		if got, err := read(reply); err != nil || got != (Savings{cpu, wall}) {
			t.Errorf("%s: got %v, %v", reply, got, err)
		}
	}
	refuse := func(reply string, rule Rule) {
		t.Helper()
		_, err := read(reply)
		wantRule(t, reply, err, rule)
	}
	accept(`{"success":true,"err":"","result":{"CPUTimeSaved":-17800000,"WallTimeSaved":5}}`, -17800000, 5)
	accept(`{"success":true,"err":"","result":{"WallTimeSaved":0,"x":[],"CPUTimeSaved":9223372036854775807}}`, 1<<63-1, 0)
	refuse(`{"success":true,"err":"","result":{"CPUTimeSaved":1}}`, RuleField)
	refuse(`{"success":true,"err":"","result":{"CPUTimeSaved":1,"CPUTimeSaved":1,"WallTimeSaved":0}}`, RuleField)
	refuse(`{"success":true,"err":"","result":{"CPUTimeSaved":null,"WallTimeSaved":0}}`, RuleField)
	refuse(`{"success":true,"err":"","result":{"CPUTimeSaved":1.5,"WallTimeSaved":0}}`, RuleInteger)
	refuse(`{"success":true,"err":"","result":{"CPUTimeSaved":9223372036854775808,"WallTimeSaved":0}}`, RuleInteger)
	refuse(`{"success":true,"err":"","result":null}`, RuleField)
	refuse(`{"success":false,"err":"no","result":null}`, RuleError)
	if _, err := read(`{"success":true,"err":"","result":{"CPUTime`); !errors.Is(err, ErrIncomplete) {
		t.Errorf("half a reply: got %v", err)
	}
}

// TestForeignTextIsPrintable: texts of a sandbox are escaped in errors, which end up in logs and
// terminals.
func TestForeignTextIsPrintable(t *testing.T) {
	nasty := "\x1b[31m\u202e\xff\\n" + strings.Repeat("x", 1000)
	_, err := ReadSavings(control.NewReply([]byte(`{"success":false,"err":"` + strings.ReplaceAll(nasty, "\x1b", `\u001b`) + `"}`)))
	if err == nil {
		t.Fatal("no error")
	}
	for _, r := range err.Error() {
		if r < ' ' || r > '~' && r != '…' {
			t.Errorf("%q in the message %q", r, err)
		}
	}
	if len(err.Error()) > 1000 {
		t.Errorf("a message of %d bytes", len(err.Error()))
	}
}

// FuzzExport compares the fast reader with the general one, and checks that a refused reply changes
// nothing.
func FuzzExport(f *testing.F) {
	s := compile(f, registration)
	escaped := strings.Replace(callsOK, `"read"`, `"a\b"`, 1) // not the allowed value a\b, which has another escape
	for _, seed := range []string{reply(), reply(opens3, callsOK, conns0, hist), reply(escaped), `{"success":false,"err":"x","result":null}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var fast, general Verifier
		fast.begin(s)
		general.begin(s)
		if fast.readExpected(data) {
			if err := general.read(data); err != nil {
				t.Fatalf("read fast, and refused: %v\n%s", err, data)
			}
			a, b := fast.baseline(&Baseline{}), general.baseline(&Baseline{})
			if show(s, &a) != show(s, &b) || !a.When.Equal(b.When) {
				t.Fatalf("read as %s and as %s", show(s, &a), show(s, &b))
			}
		}
		var v Verifier
		var b Baseline
		if err := export(&v, control.NewReply([]byte(reply(opens3, hist))), s, &b, now); err != nil {
			t.Fatal(err)
		}
		before := show(s, &b)
		if err := export(&v, control.NewReply(data), s, &b, now); err != nil && show(s, &b) != before {
			t.Fatalf("refused (%v), and yet %s became %s", err, before, show(s, &b))
		}
	})
}

// TestBeyondFloats: integers that are equal as float64 are still different.
func TestBeyondFloats(t *testing.T) {
	const (
		edge         = "9007199254740992" // 2^53
		beyond       = "9007199254740993"
		registration = `{"metrics":[{"name":"/lat","prometheus_name":"lat","description":"Latency.","type":1,"distribution_bucket_lower_bounds":[` + edge + `,18014398509481984]}],"stages":[]}`
	)
	s := compile(t, registration)
	reply := func(smallest, largest, bound string) control.Reply {
		return control.NewReply([]byte(reply(`{"metric":{"name":"lat","type":3,"help":"Latency."},"histogram":{"total":{"int":90},"min":{"int":` + smallest + `},"max":{"int":` + largest +
			`},"ssd":{"float":12.5},"buckets":[{"le":{"int":` + bound + `},"n":1},{"le":{"int":18014398509481984},"n":2},{"le":{},"n":3}]}}`)))
	}
	check := func(smallest, largest, bound string, want Rule) {
		t.Helper()
		var v Verifier
		var b Baseline
		if err := export(&v, reply(edge, beyond, edge), s, &b, now); err != nil {
			t.Fatal(err)
		}
		err := export(&v, reply(smallest, largest, bound), s, &b, now)
		if broken, _ := errors.AsType[*Breach](err); err != nil && want == "" || want != "" && (broken == nil || broken.Rule != want) {
			t.Errorf("minimum %s, maximum %s, bound %s: %v, want a breach of %q", smallest, largest, bound, err, want)
		}
	}
	check(edge, beyond, edge, "")
	check(beyond, beyond, edge, RuleMin)
	check(edge, edge, edge, RuleMax)
	check(edge, beyond, beyond, RuleBounds)
}

// TestOfRegistration: an honest reply of another build breaks these rules, and no others.
func TestOfRegistration(t *testing.T) {
	of := []Rule{RuleUnregistered, RuleType, RuleHelp, RuleLabels, RuleLabelValue, RuleBounds}
	others := []Rule{RuleJSON, RuleField, RuleContradiction, RuleError, RuleFuture, RuleStale, RuleOrder, RuleSeriesTwice, RuleOneValue, RuleKind,
		RuleInteger, RuleNumber, RuleNegative, RuleDecrease, RuleBucket, RuleDeviation, RuleMin, RuleMax, RuleForm, RuleBefore}
	for _, rule := range slices.Concat(of, others) {
		if got, want := rule.OfRegistration(), slices.Contains(of, rule); got != want {
			t.Errorf("%s: %v, want %v", rule, got, want)
		}
	}
}
