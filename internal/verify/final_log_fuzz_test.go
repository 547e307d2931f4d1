package verify

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// FuzzFinalLog compares FinalLog with a plain reader on what they accept, with which values, and
// with Prometheus's own parser on the values of what is accepted.
func FuzzFinalLog(f *testing.F) {
	s := compile(f, registration)
	for _, seed := range []string{final(), final(finalCalls, finalOpens5, finalConns0), final(finalHist), finalAt(ended.Add(1)), final(swapSamples(finalCalls))} {
		f.Add([]byte(seed))
	}
	f.Add(testkit.Testdata(f, "final_zone.log"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v Verifier
		got, err := v.FinalLog(control.NewReply(data), s, Baseline{}, time.Time{}, ended)
		want, ok := plainFinalLog(s, string(data))
		if (err == nil) != ok {
			t.Fatalf("got %v, and a plain reader reads %v:\n%q", err, want, data)
		}
		if err != nil {
			return
		}
		if values := valuesOf(s, &got); !slices.Equal(values, want) {
			t.Fatalf("got  %q\nwant %q", values, want)
		}
		compareWithPrometheus(t, s, &got, string(data))
	})
}

// valuesOf returns the samples of a baseline, sorted, as plainFinalLog does.
func valuesOf(s *schema.Schema, b *Baseline) []string {
	var all []string
	for _, sample := range b.Samples {
		m := &s.Metrics[sample.Metric]
		all = append(all, fmt.Sprintf("%s%q %d", m.Name, m.Labels(sample.Series), sample.Value))
	}
	slices.Sort(all)
	return all
}

var (
	plainHead = regexp.MustCompile(`^# Writing data from snapshot containing (0|[1-9][0-9]*) data points taken at ` +
		`([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{0,8}[1-9])? [+-][0-9]{4}) [A-Za-z0-9+-]{1,64} m=[+-][0-9]{1,10}\.[0-9]{9}\.$`)
	plainSample = regexp.MustCompile(`^runsc_([a-z0-9_]+)(\{.*\})? (0|-?[1-9][0-9]*) ([0-9-]+)$`)
)

// plainFinalLog reads a log in the simplest way. It knows how the samples of each series look, and
// compares.
func plainFinalLog(s *schema.Schema, text string) (values []string, ok bool) {
	first, rest, _ := strings.Cut(text, "\n")
	body, isLog := strings.CutSuffix(rest, "\n# End of metric data.\n")
	body, hasBlank := strings.CutPrefix(body, "\n")
	head := plainHead.FindStringSubmatch(first)
	if !isLog || !hasBlank || head == nil {
		return nil, false
	}
	at, err := time.Parse("2006-01-02 15:04:05 -0700", head[2])
	if err != nil || at.After(ended) || at.Before(time.Time{}) {
		return nil, false
	}
	var families []string
	if body != "" {
		if len(body) < 2 || body[0] != '\n' || body[len(body)-1] != '\n' {
			return nil, false
		}
		families = strings.Split(body[1:len(body)-1], "\n\n")
	}
	last := ""
	for _, family := range families {
		name, samples, ok := plainFamily(s, family, at.UnixMilli())
		if !ok || name <= last {
			return nil, false
		}
		last, values = name, append(values, samples...)
	}
	slices.Sort(values)
	unique := len(slices.CompactFunc(slices.Clone(values), func(a, b string) bool { return cutValue(a) == cutValue(b) })) == len(values)
	return values, unique && strconv.Itoa(len(values)) == head[1]
}

func cutValue(sample string) string { return sample[:strings.LastIndexByte(sample, ' ')] }

func plainFamily(s *schema.Schema, text string, ms int64) (name string, values []string, ok bool) {
	lines := strings.Split(text, "\n")
	for i := range s.Metrics {
		m := &s.Metrics[i]
		if m.Type == schema.Histogram || lines[0] != "# HELP runsc_"+m.Name+" "+m.Help {
			continue
		}
		if len(lines) < 3 || lines[1] != "# TYPE runsc_"+m.Name+" "+m.Type.String() {
			return "", nil, false
		}
		for _, line := range lines[2:] {
			value, ok := plainValue(m, line, ms)
			if !ok {
				return "", nil, false
			}
			values = append(values, value)
		}
		return m.Name, values, true
	}
	return "", nil, false
}

func plainValue(m *schema.Metric, line string, ms int64) (value string, ok bool) {
	parts := plainSample.FindStringSubmatch(line)
	if parts == nil || parts[1] != m.Name || parts[4] != strconv.FormatInt(ms, 10) {
		return "", false
	}
	number, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil || number < 0 && m.Type == schema.Counter {
		return "", false
	}
	for series := m.First; series < m.First+m.Series; series++ {
		values := m.Labels(series)
		var labels []string
		for i, v := range values {
			labels = append(labels, m.Fields[i].Name+`="`+strings.ReplaceAll(v, `\`, `\\`)+`"`)
		}
		want := ""
		if labels != nil {
			want = "{" + strings.Join(labels, ",") + "}"
		}
		if parts[2] == want {
			return fmt.Sprintf("%s%q %d", m.Name, values, number), true
		}
	}
	return "", false
}

// compareWithPrometheus checks that Prometheus's parser finds the samples of the baseline in the
// text.
func compareWithPrometheus(t *testing.T, s *schema.Schema, b *Baseline, text string) {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatalf("Prometheus refuses an accepted log: %v\n%s", err, text)
	}
	found := map[string]float64{}
	for name, family := range families {
		for _, metric := range family.Metric {
			if metric.GetTimestampMs() != b.When.UnixMilli() {
				t.Errorf("%s: %d ms, want %d", name, metric.GetTimestampMs(), b.When.UnixMilli())
			}
			values := []string{}
			for _, label := range metric.Label { // the parser keeps their order
				values = append(values, label.GetValue())
			}
			found[fmt.Sprintf("%s%q", name, values)] = metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	if len(found) != len(b.Samples) {
		t.Errorf("Prometheus finds %d samples, want %d", len(found), len(b.Samples))
	}
	for _, sample := range b.Samples {
		m := &s.Metrics[sample.Metric]
		key := fmt.Sprintf("runsc_%s%q", m.Name, m.Labels(sample.Series))
		if got, ok := found[key]; !ok || got != float64(sample.Value) {
			t.Errorf("%s: Prometheus finds %g (%v), want %d", key, got, ok, sample.Value)
		}
	}
}

// BenchmarkFinalLog verifies the log of a real sandbox, and the longest one of its registration.
func BenchmarkFinalLog(b *testing.B) {
	s := compile(b, string(testkit.Testdata(b, "registration.json")))
	var families []string
	for i := range s.Metrics {
		families = append(families, fullFamily(&s.Metrics[i], 1<<40))
	}
	bench := func(name, log string) {
		reply := control.NewReply([]byte(log))
		b.Run(name, func(b *testing.B) {
			var v Verifier
			b.SetBytes(int64(len(log)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.FinalLog(reply, s, Baseline{}, time.Time{}, ended.AddDate(1, 0, 0)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	bench("log=real", string(testkit.Testdata(b, "final_network.log")))
	bench("log=longest", finalAt(when, families...))
}
