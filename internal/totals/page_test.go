package totals

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"github.com/sandmeter/sandmeter/internal/expo"
	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

var update = flag.Bool("update", false, "write the golden files anew")

const pageTime = 1795338783582

// pageOf returns a page that has only totals.
func pageOf(l *Ledger) *page.Page {
	var names []string
	for _, m := range sourceOf(l).Schema.Metrics {
		names = append(names, m.Name)
	}
	snap := &snapshot.Snapshot{Time: time.UnixMilli(pageTime), Totals: l.View()}
	return page.NewBuilder(page.Options{Prefix: "runsc_", Naming: page.PrometheusNaming, Families: families.Options{DropIn: true}}).
		Build(snap, page.Selection{Names: snapshot.NewValues(names)})
}

// some returns a ledger with some lives of two groups, and of the overflow group.
func some(t testing.TB, grouping string) *Ledger {
	s := compile(t, registration)
	l := New(Options{By: by(t, grouping), Metrics: []string{"fs_opens", "fs_read_wait"}, Start: time.UnixMilli(pageTime - 3600_123)})
	for i, group := range []string{"shop", "a \"b\"\n\\", "shop", "_other", strings.Repeat("x", 1000)} {
		life := l.Begin(group, false)
		life.Observe(reported(s, "fs_opens", 3))
		life.Observe(reported(s, "fs_read_wait", 1_500_000_001))
		last := measured(int64(i+1)*123_456_789_012, 1, 1<<60, 7)
		last.End = &snapshot.End{Outcome: snapshot.Outcomes[i], Lifetime: time.Duration(i+1) * 250 * time.Millisecond, MemoryPeak: int64(100+i*100) << 20}
		life.End(last)
	}
	return l
}

// formats are the formats with their golden files; a binary one has none.
var formats = []struct {
	expo.Format
	file string
}{{expo.Text{}, "txt"}, {expo.OpenMetrics{}, "openmetrics"}, {expo.Protobuf{}, ""}}

func TestGoldenPages(t *testing.T) {
	for _, grouping := range []string{"none", "namespace"} {
		p := pageOf(some(t, grouping))
		for _, f := range formats {
			if f.file == "" {
				continue
			}
			file := "testdata/" + grouping + "." + f.file
			got := f.Append(nil, p)
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(file); err != nil || !bytes.Equal(got, want) {
				t.Errorf("the page is not that of %s (%v); go test -update writes it anew. It is\n%s", file, err, got)
			}
		}
	}
}

// TestPages: Prometheus's library reads the same totals in text and protobuf, and they are those of
// the ledger.
func TestPages(t *testing.T) {
	for _, grouping := range []string{"none", "namespace"} {
		l := some(t, grouping)
		want := flatten(sourceOf(l))
		for _, f := range []struct {
			expo.Format
			name expfmt.Format
		}{
			{expo.Text{}, expfmt.NewFormat(expfmt.TypeTextPlain)},
			{expo.Protobuf{}, expfmt.NewFormat(expfmt.TypeProtoDelim)},
		} {
			got := parse(t, f.Append(nil, pageOf(l)), f.name)
			if !maps.Equal(got, want) {
				t.Errorf("by %s, in %T:\ngot  %v\nwant %v", grouping, f.Format, got, want)
			}
		}
	}
}

// parse returns the values of a page by name and labels.
func parse(t *testing.T, text []byte, format expfmt.Format) map[string]float64 {
	t.Helper()
	values := map[string]float64{}
	decoder := expfmt.NewDecoder(bytes.NewReader(text), format)
	for {
		var f dto.MetricFamily
		err := decoder.Decode(&f)
		if errors.Is(err, io.EOF) {
			return values
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range f.GetMetric() {
			labels := fmt.Sprintf("%s %s", f.GetName(), labelsOf(m))
			switch f.GetType() {
			case dto.MetricType_COUNTER:
				values[labels] = m.GetCounter().GetValue()
			case dto.MetricType_GAUGE:
				values[labels] = m.GetGauge().GetValue()
			case dto.MetricType_HISTOGRAM:
				values[labels+" sum"] = m.GetHistogram().GetSampleSum()
				values[labels+" count"] = float64(m.GetHistogram().GetSampleCount())
				for _, b := range m.GetHistogram().GetBucket() {
					values[fmt.Sprint(labels, " ", b.GetUpperBound())] = float64(b.GetCumulativeCount())
				}
			}
		}
	}
}

func labelsOf(m *dto.Metric) string {
	var pairs []snapshot.Label
	for _, p := range m.GetLabel() {
		pairs = append(pairs, snapshot.Label{Name: p.GetName(), Value: p.GetValue()})
	}
	return fmt.Sprintf("%q", pairs)
}

// flatten returns what parse should return of a source.
func flatten(src snapshot.Source) map[string]float64 {
	values := map[string]float64{}
	for _, s := range src.Samples {
		m := src.Metric(s)
		var pairs []snapshot.Label
		if m.Open {
			pairs = slices.Clone(src.Sets[s.Series].Pairs)
		}
		labels := fmt.Sprintf("%s %q", m.Name, pairs)
		per := float64(m.Unit.PerSecond())
		if m.Type != schema.Histogram {
			values[labels] = float64(s.Value) / per
			continue
		}
		h := src.Histogram(s)
		values[labels+" sum"] = float64(h.Total.Int) / per
		values[labels+" count"] = float64(h.Count())
		count := 0.0
		for i, n := range h.Counts {
			bound := math.Inf(1)
			if i < len(m.Bounds) {
				bound = float64(m.Bounds[i]) / per
			}
			count += float64(n)
			values[fmt.Sprint(labels, " ", bound)] = count
		}
	}
	return values
}

// TestSamplesAreImmutable: samples stay as they are, and those of the same totals share their memory.
func TestSamplesAreImmutable(t *testing.T) {
	f, l := families.New(families.Options{}), some(t, "namespace")
	samples := func(ms int64) snapshot.Source {
		return f.Of(&snapshot.Snapshot{Time: time.UnixMilli(ms), Totals: l.View()}).Totals
	}
	first := samples(1)
	text := fmt.Sprint(first.Samples, first.Histograms, first.Sets)
	if second := samples(2); &second.Samples[0] != &first.Samples[0] || &second.Histograms[0] != &first.Histograms[0] || second.Time != 2 {
		t.Error("nothing changed, and the samples are made anew")
	}
	last := measured(1, 1, 1, 1)
	last.End = &snapshot.End{Outcome: snapshot.Exited, Lifetime: time.Second, MemoryPeak: 1}
	for _, group := range []string{"shop", "a new one"} {
		l.Begin(group, false).End(last)
	}
	if third := samples(3); len(third.Samples) <= len(first.Samples) || third.Time != 3 {
		t.Errorf("a group is new, and there are %d samples, as many as before", len(third.Samples))
	}
	if got := fmt.Sprint(first.Samples, first.Histograms, first.Sets); got != text || first.Time != 1 {
		t.Errorf("the first samples changed\nfrom %s\nto   %s", text, got)
	}
}

// TestStarts: totals tell when they were 0, in protobuf.
func TestStarts(t *testing.T) {
	p := pageOf(some(t, "none"))
	decoder := expfmt.NewDecoder(bytes.NewReader(expo.Protobuf{}.Append(nil, p)), expfmt.NewFormat(expfmt.TypeProtoDelim))
	for {
		var f dto.MetricFamily
		if err := decoder.Decode(&f); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatal(err)
		}
		for _, m := range f.GetMetric() {
			start := m.GetCounter().GetCreatedTimestamp()
			if f.GetType() == dto.MetricType_HISTOGRAM {
				start = m.GetHistogram().GetCreatedTimestamp()
			}
			if start.AsTime().UnixMilli() != pageTime-3600_123 {
				t.Errorf("%s has start %v", f.GetName(), start)
			}
		}
	}
}
