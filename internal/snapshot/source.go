package snapshot

import (
	"cmp"
	"slices"

	"github.com/sandmeter/sandmeter/internal/schema"
)

// A Source is a list of samples with the same labels, schema and time.
type Source struct {
	Labels  *Labels
	Schema  *schema.Schema
	Time    int64    // of the samples on a page, in milliseconds since the Unix epoch
	Start   int64    // when its counters and histograms were 0, in nanoseconds since the Unix epoch; 0: not known
	Samples []Sample // in the order of Metric, then Series
	// Histograms are the values of the samples of histogram metrics, in the order of those samples.
	// Sets are the label sets of samples of open metrics, in any order.
	Histograms []Histogram
	Sets       []*LabelSet
	TextSize   int // the result of MeasureText
	ZeroSize   int // the result of MeasureZeros
}

// Find returns the first sample of a metric, by its index in the schema.
func (s *Source) Find(metric int) (sample Sample, ok bool) {
	i, ok := slices.BinarySearchFunc(s.Samples, int32(metric), func(s Sample, metric int32) int { return cmp.Compare(s.Metric, metric) })
	if !ok {
		return Sample{}, false
	}
	return s.Samples[i], true
}

// Histogram returns the value of a sample of a histogram metric.
func (s *Source) Histogram(sample Sample) *Histogram { return &s.Histograms[sample.Value] }

// Metric returns the metric of a sample.
func (s *Source) Metric(sample Sample) *schema.Metric { return &s.Schema.Metrics[sample.Metric] }

// MeasureText returns the approximate number of bytes of the samples as text, on a page without
// filters.
func (s *Source) MeasureText() int {
	size, common := 0, s.Labels.textSize()
	for i := range s.Samples {
		m, labels, lines := s.Metric(s.Samples[i]), common, 1
		if m.Open {
			labels += s.Sets[s.Samples[i].Series].textSize()
		}
		if m.Type == schema.Histogram {
			lines = len(m.Bounds) + 6
		}
		size += m.LineSize + lines*labels
	}
	return size
}

// Measure sets TextSize and ZeroSize. It takes them over from an earlier version of the source if only
// values have changed since, as they do from one collection to the next.
func (s *Source) Measure(before *Source) {
	sameSeries := func(a, b Sample) bool { return a.Metric == b.Metric && a.Series == b.Series }
	if s.Labels == before.Labels && s.Schema == before.Schema && slices.Equal(s.Sets, before.Sets) &&
		slices.EqualFunc(s.Samples, before.Samples, sameSeries) {
		s.TextSize, s.ZeroSize = before.TextSize, before.ZeroSize
		return
	}
	s.TextSize, s.ZeroSize = s.MeasureText(), s.MeasureZeros()
}

// MeasureZeros returns the approximate number of bytes of the samples that Fill adds.
func (s *Source) MeasureZeros() int {
	size := s.Schema.Zeros
	if size.Series == 0 {
		return 0
	}
	for i := range s.Samples {
		if m := s.Metric(s.Samples[i]); m.Zero {
			size.Series--
			size.Bytes -= m.LineSize
		}
	}
	return size.Bytes + size.Series*s.Labels.textSize()
}

// WithZeros returns all samples as a page shows them.
func (s *Source) WithZeros() []Sample {
	all := make([]Sample, 0, len(s.Samples)+s.Schema.Zeros.Series)
	sent := s.Samples
	for i := range s.Schema.Metrics {
		n := 0
		for n < len(sent) && sent[n].Metric == int32(i) {
			n++
		}
		all, sent = s.Fill(all, int32(i), sent[:n]), sent[n:]
	}
	return all
}

// Fill appends the samples of a metric to b: those that the sandbox sent, and a zero for each other
// series if the metric has Zero. sent are the samples of the metric, in order.
func (s *Source) Fill(b []Sample, metric int32, sent []Sample) []Sample {
	m := &s.Schema.Metrics[metric]
	if !m.Zero {
		return append(b, sent...)
	}
	for series := m.First; series < m.First+m.Series; series++ {
		if len(sent) > 0 && sent[0].Series == series {
			b, sent = append(b, sent[0]), sent[1:]
			continue
		}
		b = append(b, Sample{Metric: metric, Series: series})
	}
	return b
}

// WithoutGauges returns the counters and histograms of the source: gauges of a sandbox that has ended
// would falsify sums over the sandboxes that run.
func (s Source) WithoutGauges() Source {
	s.Samples = slices.DeleteFunc(slices.Clone(s.Samples), func(sample Sample) bool { return s.Metric(sample).Type == schema.Gauge })
	s.TextSize = s.MeasureText()
	return s
}
