package records

import (
	"strconv"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// appendMetrics appends an object with the counters and histograms of a source, by the names with
// which runsc registers them and in their order. Gauges are left out, since a sandbox that has
// ended has no current values, and so are counters that are zero, of which there are ten times as
// many as others.
//
// The value of a metric without fields is a number or, for a histogram, an object with count and
// sum. That of a metric with fields is a list of objects, one per series, with the labels. fits is
// false if the object would be longer than most; then b is incomplete.
func appendMetrics(b []byte, source *snapshot.Source, most int) (result []byte, fits bool) {
	samples := source.Samples
	b = append(b, '{')
	first := true
	for len(samples) > 0 {
		m := source.Metric(samples[0])
		n := 1
		for n < len(samples) && samples[n].Metric == samples[0].Metric {
			n++
		}
		if m.Type != schema.Gauge {
			b = appendComma(b, &first)
			b = append(appendText(b, m.Name), ':')
			b = appendMetric(b, source, m, samples[:n])
		}
		if len(b) > most {
			return b, false
		}
		samples = samples[n:]
	}
	return append(b, '}'), true
}

// appendMetric appends the value of a metric. There is at least one sample.
func appendMetric(b []byte, source *snapshot.Source, m *schema.Metric, samples []snapshot.Sample) []byte {
	if len(m.Fields) == 0 {
		return appendSimple(b, source, m, samples[0])
	}
	b = append(b, '[')
	first := true
	for _, sample := range samples {
		b = appendComma(b, &first)
		b = appendLabels(append(b, `{"labels":`...), m, sample)
		if m.Type == schema.Histogram {
			b = appendHistogram(append(b, ','), source.Histogram(sample))
		} else {
			b = strconv.AppendInt(append(b, `,"value":`...), sample.Value, 10)
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

// appendSimple appends the value of a metric without fields.
func appendSimple(b []byte, source *snapshot.Source, m *schema.Metric, sample snapshot.Sample) []byte {
	if m.Type == schema.Histogram {
		return append(appendHistogram(append(b, '{'), source.Histogram(sample)), '}')
	}
	return strconv.AppendInt(b, sample.Value, 10)
}

// appendHistogram appends the count and the sum of a histogram, without braces.
func appendHistogram(b []byte, h *snapshot.Histogram) []byte {
	b = strconv.AppendUint(append(b, `"count":`...), h.Count(), 10)
	b = append(b, `,"sum":`...)
	if !h.Total.IsFloat {
		return strconv.AppendInt(b, h.Total.Int, 10)
	}
	if finite(h.Total.Float) == nil {
		return append(b, "null"...)
	}
	return strconv.AppendFloat(b, h.Total.Float, 'g', -1, 64)
}

func appendLabels(b []byte, m *schema.Metric, sample snapshot.Sample) []byte {
	b = append(b, '{')
	first := true
	for i, value := range m.Labels(sample.Series) {
		b = appendComma(b, &first)
		b = append(appendText(b, m.Fields[i].Name), ':')
		b = appendText(b, value)
	}
	return append(b, '}')
}

// appendComma appends a comma, except before the first element.
func appendComma(b []byte, first *bool) []byte {
	if *first {
		*first = false
		return b
	}
	return append(b, ',')
}
