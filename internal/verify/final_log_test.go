package verify

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// Families of honest final metrics logs for the registration of TestRules. MS stands for the
// timestamp.
const (
	finalCalls = "# HELP runsc_calls Calls by \"kind\" & result.\n# TYPE runsc_calls counter\n" +
		"runsc_calls{kind=\"read\",result=\"ok\"} 2 MS\nrunsc_calls{kind=\"a\\\\b\",result=\"EPERM\"} 1 MS\n"
	finalOpens5 = "# HELP runsc_fs_opens Number of file opens.\n# TYPE runsc_fs_opens counter\nrunsc_fs_opens 5 MS\n"
	finalConns0 = "# HELP runsc_net_open Open connections.\n# TYPE runsc_net_open gauge\nrunsc_net_open 0 MS\n"
	finalHist   = "# HELP runsc_lat Latency.\n# TYPE runsc_lat histogram\nrunsc_lat_bucket{le=\"10\"} 1 MS\n"
)

var (
	created = when.Add(-time.Minute)
	ended   = when.Add(20 * time.Millisecond)
)

// finalAt returns a log of the families, taken at a time.
func finalAt(when time.Time, families ...string) string {
	text := "\n"
	for _, f := range families {
		text += "\n" + strings.ReplaceAll(f, "MS", fmt.Sprint(when.UnixMilli()))
	}
	head := fmt.Sprintf("# Writing data from snapshot containing %d data points taken at %s m=+0.250900425.\n", strings.Count(text, "\nrunsc_"), when)
	return head + text + "\n# End of metric data.\n"
}

func final(families ...string) string { return finalAt(when, families...) }

// readFinalLog verifies a log against a baseline that is of a second before.
func readFinalLog(t testing.TB, s *schema.Schema, points []string, log string) (last, next Baseline, err error) {
	t.Helper()
	var v Verifier
	if points != nil {
		if err := export(&v, control.NewReply([]byte(replyAt(when.Add(-time.Second), points...))), s, &last, when); err != nil {
			t.Fatal(err)
		}
	}
	next, err = v.FinalLog(control.NewReply([]byte(log)), s, last, created, ended)
	return last, next, err
}

// TestCapturedFinalLog reads logs of real sandboxes: one that exits at once, one that sent 64 MiB to
// itself, and one on a host in Kathmandu.
func TestCapturedFinalLog(t *testing.T) {
	s := compile(t, string(testkit.Testdata(t, "registration.json")))
	check := func(file, when, want string) {
		t.Helper()
		log := testkit.Testdata(t, file)
		at, err := time.Parse(time.RFC3339Nano, when)
		if err != nil {
			t.Fatal(err)
		}
		var v Verifier
		b, err := v.FinalLog(control.NewReply(log), s, Baseline{}, at, at)
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		if !b.When.Equal(at) {
			t.Errorf("%s: got time %v, want %v", file, b.When, at)
		}
		if got := show(s, &b); got != want {
			t.Errorf("%s: got  %s\nwant %s", file, got, want)
		}
		if most := s.MaxFinalLog(); len(log) > most {
			t.Errorf("%s: %d bytes, and the longest log has %d", file, len(log), most)
		}
	}
	check("final_exits.log", "2026-11-29T20:28:45.061540417Z", "fs_opens=5 fs_reads=7 gofer_opens_host=1 gofer_reads_host=4 "+
		"netstack_tcp_current_established=0 netstack_tcp_current_open=0 sentry_entry_point{entry_point_type=runsc}=1")
	check("final_network.log", "2026-11-29T20:32:40.848612716Z", "fs_opens=11 fs_reads=8205 gofer_opens_host=6 gofer_reads_host=4 netstack_ip_packets_delivered=3409 "+
		"netstack_ip_packets_received=3409 netstack_ip_packets_sent=3409 netstack_nic_rx_bytes=67286148 "+
		"netstack_nic_rx_packets=3409 netstack_nic_tx_bytes=67333874 netstack_nic_tx_packets=3409 "+
		"netstack_tcp_active_connection_openings=1 netstack_tcp_current_established=0 netstack_tcp_current_open=1 "+
		"netstack_tcp_established_closed=1 netstack_tcp_passive_connection_openings=1 netstack_tcp_segments_sent=3409 "+
		"netstack_tcp_valid_segments_received=3409 sentry_entry_point{entry_point_type=runsc}=1")
	check("final_zone.log", "2026-11-30T02:20:24.550671955+05:45", "fs_opens=105 fs_reads=7 gofer_opens_host=101 gofer_reads_host=4 "+
		"netstack_socket_unimplemented_set_socket_option{level=SOCKET,name=4}=1 netstack_socket_unimplemented_set_socket_option{level=SOCKET,name=5}=2 "+
		"netstack_socket_unimplemented_set_socket_option{level=SOCKET,name=22}=1 netstack_socket_unimplemented_set_socket_option{level=TCP,name=30}=1 "+
		"netstack_tcp_current_established=0 netstack_tcp_current_open=0 sentry_entry_point{entry_point_type=runsc}=1 "+
		"unimplemented_syscalls{sysno=54}=5 unimplemented_syscalls{sysno=180}=1 unimplemented_syscalls{sysno=-1}=1")
}

func TestFinalLogAccepts(t *testing.T) {
	s := compile(t, registration)
	accept := func(name string, points []string, log, want string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			_, b, err := readFinalLog(t, s, points, log)
			if err != nil {
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
	opens := func(n string) string { return strings.Replace(finalOpens5, " 5 ", " "+n+" ", 1) }
	accept("a sandbox that was never sampled", nil, final(finalOpens5), "fs_opens=5")
	accept("a counter that grew", []string{opens3}, final(finalOpens5), "fs_opens=5")
	accept("a counter that was zero", []string{opens3}, final(finalCalls, finalOpens5), `calls{kind=read,result=ok}=2 calls{kind=a\b,result=EPERM}=1 fs_opens=5`)
	accept("a gauge that fell", []string{conns7}, final(finalConns0), "net_open=0")
	accept("a gauge that is gone", []string{conns7}, final(), "")
	accept("a zero", nil, final(opens("0")), "fs_opens=0")
	accept("the largest counter", nil, final(opens("9223372036854775807")), "fs_opens=9223372036854775807")
	accept("the lowest gauge", nil, final(strings.Replace(finalConns0, " 0 ", " -9223372036854775808 ", 1)), "net_open=-9223372036854775808")
	accept("series in another order", nil, final(swapSamples(finalCalls)), `calls{kind=read,result=ok}=2 calls{kind=a\b,result=EPERM}=1`)
	accept("another time zone", nil, strings.Replace(final(finalOpens5), when.String(), when.In(time.FixedZone("CEST", 7200)).String(), 1), "fs_opens=5")
	accept("a time zone without a name", nil, strings.Replace(final(finalOpens5), "UTC", "+0000", 1), "fs_opens=5")
}

// swapSamples exchanges the last two lines.
func swapSamples(family string) string {
	lines := strings.SplitAfter(family, "\n")
	lines[2], lines[3] = lines[3], lines[2]
	return strings.Join(lines, "")
}

// TestFinalLogSharesMemory: equal samples are those of the last baseline, as in Export.
func TestFinalLogSharesMemory(t *testing.T) {
	s := compile(t, registration)
	last, next, err := readFinalLog(t, s, []string{opens5}, final(finalOpens5))
	if err != nil {
		t.Fatal(err)
	}
	if &last.Samples[0] != &next.Samples[0] {
		t.Error("equal samples are copied")
	}
}

// TestFinalLogRules breaks each rule alone, in a log after an honest reply, and checks that the
// verifier can still read the honest log.
func TestFinalLogRules(t *testing.T) {
	s := compile(t, registration)
	honest := final(finalCalls, finalOpens5, finalConns0)
	refuse := func(name string, rule Rule, metric, log string) {
		t.Helper()
		t.Run(name, func(t *testing.T) {
			var v Verifier
			var last Baseline
			if err := export(&v, control.NewReply([]byte(replyAt(when.Add(-time.Second), opens3, callsOK))), s, &last, when); err != nil {
				t.Fatal(err)
			}
			before := show(s, &last)
			next, err := v.FinalLog(control.NewReply([]byte(log)), s, last, created, ended)
			broken, ok := errors.AsType[*Breach](err)
			if !ok || broken.Rule != rule || broken.Metric != metric || !broken.Final {
				t.Errorf("got %v, want a breach of %q by metric %q", err, rule, metric)
			}
			if next.Samples != nil || !next.When.IsZero() || show(s, &last) != before {
				t.Errorf("the refused log has the baseline %s, and that before became %s", show(s, &next), show(s, &last))
			}
			if err != nil && !strings.HasPrefix(err.Error(), "final metrics log refused: ") {
				t.Errorf("the message is %q", err)
			}
			if _, err := v.FinalLog(control.NewReply([]byte(honest)), s, last, created, ended); err != nil {
				t.Errorf("the honest log: %v", err)
			}
		})
	}
	// change returns the honest log with one change.
	change := func(old, new string) string {
		t.Helper()
		if !strings.Contains(honest, old) {
			t.Fatalf("%q is not in the log", old)
		}
		return strings.Replace(honest, old, new, 1)
	}
	form := func(name, old, new string) {
		t.Helper()
		refuse(name, RuleForm, "", change(old, new))
	}
	ms := fmt.Sprint(when.UnixMilli())

	// Form of the whole.
	refuse("nothing", RuleForm, "", "")
	refuse("zeros of a sparse file", RuleForm, "", strings.Repeat("\x00", 10_000))
	refuse("CRLF", RuleForm, "", strings.ReplaceAll(honest, "\n", "\r\n"))
	refuse("bytes behind the end", RuleForm, "", honest+"\n")
	refuse("no newline at the end", RuleForm, "", strings.TrimSuffix(honest, "\n"))
	refuse("the end is missing", RuleForm, "net_open", strings.TrimSuffix(honest, finalEnd))
	refuse("the end twice", RuleForm, "", strings.TrimSuffix(honest, finalEnd)+finalEnd+finalEnd)
	form("too few announced", "containing 4", "containing 3")
	form("another form of the number", "containing 4", "containing 04")
	form("no time", " taken at ", " taken ")
	form("no full stop", ".\n", "\n")
	form("no monotonic clock", " m=+0.250900425", "")
	form("another monotonic clock", "m=+0.250900425", "m=+0.2509")
	form("a time without a zone", " +0000 UTC", "")
	form("a zone with a quote", "UTC", `U"C`)
	form("a zone with no end", "UTC", strings.Repeat("X", maxZone+1))
	form("a time that needs rounding", when.Format("05"), when.Format("05")+".0000000001")
	form("a day that does not exist", when.Format("2006-01-02"), "2026-11-31")
	form("a blank line is missing", ".\n\n", ".\n")
	refuse("no blank line", RuleForm, "fs_opens", change("\n\n# HELP runsc_net_open", "\n# HELP runsc_net_open"))

	// Families.
	form("no HELP", "# HELP runsc_fs_opens", "# INFO runsc_fs_opens")
	form("no help text", "# HELP runsc_fs_opens Number of file opens.", "# HELP runsc_fs_opens")
	refuse("a family twice", RuleForm, "fs_opens", final(finalOpens5, finalOpens5))
	refuse("families in another order", RuleForm, "calls", final(finalOpens5, finalCalls))
	refuse("no TYPE", RuleForm, "fs_opens", change("# TYPE runsc_fs_opens counter\n", ""))
	refuse("TYPE of another", RuleForm, "fs_opens", change("# TYPE runsc_fs_opens", "# TYPE runsc_fs_reads"))
	refuse("no sample", RuleForm, "fs_opens", change("runsc_fs_opens 5 "+ms+"\n", ""))
	refuse("a sample of another", RuleForm, "fs_opens", change("runsc_fs_opens 5", "runsc_fs_reads 5"))
	refuse("a histogram", RuleForm, "lat", final(finalHist))
	refuse("not registered", RuleUnregistered, "", change("# HELP runsc_fs_opens", "# HELP runsc_fs_closes"))
	refuse("another help text", RuleHelp, "fs_opens", change("Number of file opens.", "Number of file opens!"))
	refuse("another type", RuleType, "fs_opens", change("fs_opens counter", "fs_opens gauge"))

	// Samples.
	refuse("a value less", RuleForm, "fs_opens", change("runsc_fs_opens 5 ", "runsc_fs_opens "))
	refuse("no timestamp", RuleForm, "fs_opens", change("runsc_fs_opens 5 "+ms, "runsc_fs_opens 5"))
	refuse("another timestamp", RuleForm, "fs_opens", change("runsc_fs_opens 5 "+ms, "runsc_fs_opens 5 "+fmt.Sprint(when.UnixMilli()+1)))
	refuse("bytes behind the timestamp", RuleForm, "fs_opens", change("runsc_fs_opens 5 "+ms, "runsc_fs_opens 5 "+ms+" "))
	refuse("two spaces", RuleInteger, "fs_opens", change("runsc_fs_opens 5", "runsc_fs_opens  5"))
	for _, value := range []string{"", "5.0", "5e0", "+5", "05", "-0", "0x5", "NaN", "+Inf", "9223372036854775808", "18446744073709551615", "5_0", strings.Repeat("9", 1000)} {
		refuse("value "+value, RuleInteger, "fs_opens", change("runsc_fs_opens 5", "runsc_fs_opens "+value))
	}
	refuse("a negative counter", RuleNegative, "fs_opens", change("runsc_fs_opens 5", "runsc_fs_opens -5"))
	refuse("a series twice", RuleSeriesTwice, "calls", final(finalCalls+"runsc_calls{kind=\"read\",result=\"ok\"} 2 MS\n"))

	// Labels.
	refuse("labels where none belong", RuleLabels, "fs_opens", change("runsc_fs_opens 5", "runsc_fs_opens{a=\"b\"} 5"))
	refuse("no labels", RuleLabels, "calls", change(`{kind="read",result="ok"}`, ``))
	refuse("a label less", RuleLabels, "calls", change(`{kind="read",result="ok"}`, `{kind="read"}`))
	refuse("a label more", RuleLabels, "calls", change(`,result="ok"}`, `,result="ok",sandbox="x"}`))
	refuse("labels in another order", RuleLabels, "calls", change(`{kind="read",result="ok"}`, `{result="ok",kind="read"}`))
	refuse("a label twice", RuleLabels, "calls", change(`{kind="read",result="ok"}`, `{kind="read",kind="read"}`))
	refuse("another value", RuleLabelValue, "calls", change(`"read"`, `"reads"`))
	refuse("a value that is not UTF-8", RuleLabelValue, "calls", change(`"read"`, "\"re\xffad\""))
	refuse("a value that is not escaped", RuleForm, "calls", change(`a\\b`, `a\b`))
	refuse("a value with no end", RuleForm, "calls", change(`"read",result="ok"}`, `"read`))
	refuse("a value that ends in a backslash", RuleForm, "calls", change(`result="ok"} 2 `+ms, `result="\`))

	// Progress and time.
	refuse("a counter below the baseline", RuleDecrease, "fs_opens", change("runsc_fs_opens 5", "runsc_fs_opens 2"))
	refuse("a counter that is gone", RuleDecrease, "calls", final(finalOpens5, finalConns0))
	refuse("taken after the end", RuleFuture, "", finalAt(ended.Add(1), finalCalls, finalOpens5))
	refuse("taken before the last reply", RuleOrder, "", finalAt(when.Add(-time.Second-afterLog-1), finalCalls, finalOpens5))
	refuse("of an earlier sandbox with this ID", RuleBefore, "", finalAt(created.Add(-1), finalCalls, finalOpens5))
}

// TestReplyAfterFinalLog: a reply that the sandbox sent after it had written its log is later than
// the log, and stays.
func TestReplyAfterFinalLog(t *testing.T) {
	s := compile(t, registration)
	var v Verifier
	var last Baseline
	if err := export(&v, control.NewReply([]byte(replyAt(when, opens3, callsOK))), s, &last, when); err != nil {
		t.Fatal(err)
	}
	for _, log := range []string{finalAt(when.Add(-1), finalOpens5), finalAt(when.Add(-afterLog), finalCalls)} {
		next, err := v.FinalLog(control.NewReply([]byte(log)), s, last, created, ended)
		if err != nil || show(s, &next) != show(s, &last) || !next.When.Equal(last.When) {
			t.Errorf("got %s, %v, want %s", show(s, &next), err, show(s, &last))
		}
	}
}

// TestFinalLogWithoutHistogram: the log of a sandbox that has reported a histogram cannot have it,
// so it is refused, and the sandbox keeps its last values.
func TestFinalLogWithoutHistogram(t *testing.T) {
	s := compile(t, registration)
	_, _, err := readFinalLog(t, s, []string{hist}, final(finalOpens5))
	wantRule(t, "a log without the histogram", err, RuleBucket)
}

// TestFinalLogAfterClockStep: if the clock of the host was set back since the last reply, its time
// proves nothing.
func TestFinalLogAfterClockStep(t *testing.T) {
	s := compile(t, registration)
	var v Verifier
	last := Baseline{When: ended.Add(time.Hour)}
	if _, err := v.FinalLog(control.NewReply([]byte(final(finalOpens5))), s, last, created, ended); err != nil {
		t.Error(err)
	}
}

// TestFinalLogCutOff: no beginning of a log is accepted, wherever a write was cut off.
func TestFinalLogCutOff(t *testing.T) {
	s := compile(t, registration)
	whole := final(finalCalls, finalOpens5, finalConns0)
	for n := range len(whole) {
		var v Verifier
		if _, err := v.FinalLog(control.NewReply([]byte(whole[:n])), s, Baseline{}, created, ended); err == nil {
			t.Errorf("%d of %d bytes are accepted", n, len(whole))
		}
	}
}

// TestFinalLogHasNoForeignText: the file may be another one than the sandbox's, so an error never
// quotes it.
func TestFinalLogHasNoForeignText(t *testing.T) {
	s := compile(t, registration)
	for _, line := range []string{"secret", "# HELP secret x\n", "# HELP runsc_fs_opens secret\n", "# HELP runsc_fs_opens Number of file opens.\n# TYPE runsc_fs_opens secret\n"} {
		_, _, err := readFinalLog(t, s, nil, strings.TrimSuffix(final(), finalEnd)+"\n"+line)
		if err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v", line, err)
		}
	}
}

// TestMaxFinalLog: the longest log has MaxFinalLog bytes but for a few that depend on the time.
func TestMaxFinalLog(t *testing.T) {
	for _, text := range []string{registration, string(testkit.Testdata(t, "registration.json"))} {
		s := compile(t, text)
		at := time.Date(2026, 11, 22, 9, 15, 0, 999999999, time.FixedZone(strings.Repeat("Z", maxZone), 3600))
		var families []string
		for i := range s.Metrics {
			if m := &s.Metrics[i]; m.Type != schema.Histogram {
				families = append(families, fullFamily(m, math.MaxInt64))
			}
		}
		log := finalAt(at, families...)
		var v Verifier
		if _, err := v.FinalLog(control.NewReply([]byte(log)), s, Baseline{}, at, at); err != nil {
			t.Error(err)
		}
		if most := s.MaxFinalLog(); len(log) > most || most > len(log)+len(log)/4+1000 {
			t.Errorf("%d bytes, and the longest log has %d", len(log), most)
		}
	}
}

// fullFamily returns the lines of all series of a metric, with one value.
func fullFamily(m *schema.Metric, value int64) string {
	text := finalHeadOf(m)
	for series := m.First; series < m.First+m.Series; series++ {
		text += finalSample(m, series, value)
	}
	return text
}

// finalHeadOf and finalSample return the lines of a family in a log, in the simplest way.
func finalHeadOf(m *schema.Metric) string {
	return fmt.Sprintf("# HELP runsc_%s %s\n# TYPE runsc_%s %s\n", m.Name, m.Help, m.Name, m.Type)
}

func finalSample(m *schema.Metric, series uint32, value int64) string {
	var labels []string
	for i, value := range m.Labels(series) {
		labels = append(labels, m.Fields[i].Name+`="`+strings.ReplaceAll(value, `\`, `\\`)+`"`)
	}
	text := ""
	if labels != nil {
		text = "{" + strings.Join(labels, ",") + "}"
	}
	return fmt.Sprintf("runsc_%s%s %d MS\n", m.Name, text, value)
}
