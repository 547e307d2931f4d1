package e2e

import (
	"slices"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/sandmeter/sandmeter/metricclient"
)

// alwaysThere is a metric with a series for every sandbox, even before its program has done
// anything.
const alwaysThere = "runsc_sentry_entry_point"

// A page is a page of metrics as Prometheus's own parser reads it.
type page struct {
	raw      metricclient.MetricData
	families map[string]*dto.MetricFamily
}

// parsePage parses a page. It fails the test unless Prometheus accepts the whole page, each family
// has TYPE and HELP, and each series occurs once.
func parsePage(t *testing.T, data metricclient.MetricData) page {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(string(data)))
	if err != nil {
		t.Fatalf("the page is not valid: %v\n%s", err, data)
	}
	for name, family := range families {
		if family.Help == nil || !strings.Contains(string(data), "# TYPE "+name+" ") {
			t.Errorf("family %s lacks HELP or TYPE", name)
		}
		seen := map[string]bool{}
		for _, m := range family.Metric {
			series := labelText(m)
			if seen[series] {
				t.Errorf("%s{%s} is on the page twice", name, series)
			}
			seen[series] = true
		}
	}
	return page{data, families}
}

// labelText returns the labels of a series in a fixed order.
func labelText(m *dto.Metric) string {
	var pairs []string
	for _, l := range m.Label {
		pairs = append(pairs, l.GetName()+"="+l.GetValue())
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ",")
}

// find returns the labels and values of the series of a family that have the given labels; labels
// alternate between names and values.
func (p page) find(metric string, labels ...string) []sample {
	family, ok := p.families[metric]
	if !ok {
		return nil
	}
	var samples []sample
	for _, m := range family.Metric {
		s := sample{labels: map[string]string{}, value: m.GetGauge().GetValue() + m.GetCounter().GetValue() + m.GetUntyped().GetValue()}
		for _, l := range m.Label {
			s.labels[l.GetName()] = l.GetValue()
		}
		if s.has(labels) {
			samples = append(samples, s)
		}
	}
	return samples
}

// sample is one line of a page.
type sample struct {
	labels map[string]string
	value  float64
}

func (s sample) has(labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		if v, ok := s.labels[labels[i]]; !ok || v != labels[i+1] {
			return false
		}
	}
	return true
}

// value returns the value of the series of a family with the given labels, and whether there is
// exactly one.
func (p page) value(metric string, labels ...string) (float64, bool) {
	samples := p.find(metric, labels...)
	if len(samples) != 1 {
		return 0, false
	}
	return samples[0].value, true
}

// labels returns the values of a label in a family, sorted, with duplicates.
func (p page) labels(metric, label string, labels ...string) []string {
	var values []string
	for _, s := range p.find(metric, labels...) {
		values = append(values, s.labels[label])
	}
	slices.Sort(values)
	return values
}

// sandboxes returns the IDs of the sandboxes on the page.
func (p page) sandboxes() []string { return p.labels("runsc_meta_sandbox_presence", "sandbox") }

// wantValue fails the test unless a series has a value.
func (p page) wantValue(t *testing.T, want float64, metric string, labels ...string) {
	t.Helper()
	if got, ok := p.value(metric, labels...); !ok || got != want {
		t.Errorf("%s%q is %v (alone: %t), want %v", metric, labels, got, ok, want)
	}
}

// wantNone fails the test if a family has a series with the given labels.
func (p page) wantNone(t *testing.T, metric string, labels ...string) {
	t.Helper()
	if found := p.find(metric, labels...); len(found) > 0 {
		t.Errorf("%s%q is there: %v", metric, labels, found)
	}
}

// withoutValues returns the page's lines without values and timestamps.
func (p page) withoutValues() []string {
	var lines []string
	for line := range strings.Lines(string(p.raw)) {
		if !strings.HasPrefix(line, "#") {
			// Label values may have blanks; the text after them has none.
			end := strings.LastIndexByte(line, '}') + 1
			if end == 0 {
				end = strings.IndexByte(line, ' ')
			}
			if end < 0 || len(strings.Fields(line[end:])) == 0 {
				lines = append(lines, "not a sample: "+line)
				continue
			}
			line = line[:end]
		}
		lines = append(lines, line)
	}
	return lines
}

// of returns the sums of the metrics that a sandbox reports, by family.
func (p page) of(id string) map[string]float64 {
	sums := map[string]float64{}
	for name := range p.families {
		if strings.HasPrefix(name, "runsc_meta_") || strings.HasPrefix(name, "sandmeter_") {
			continue
		}
		for _, s := range p.find(name, "sandbox", id) {
			sums[name] += s.value
		}
	}
	return sums
}
