package records

import (
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// metricsOf returns the counters and histograms of a source, by the names with which runsc registers
// them. Gauges are left out, since a sandbox that has ended has no current values, and so are counters
// that are zero, of which there are ten times as many as others.
//
// The value of a metric without fields is a number or, for a histogram, an object with count and
// sum. That of a metric with fields is a list of objects, one per series, with the labels.
//
// fits is false if all this would certainly be longer than a line. So a sandbox cannot make the server
// collect hundreds of thousands of series in vain.
func metricsOf(source *snapshot.Source) (metrics map[string]any, fits bool) {
	metrics = make(map[string]any)
	size := 0 // in bytes, at least
	for _, sample := range source.Samples {
		m := source.Metric(sample)
		if m.Type == schema.Gauge {
			continue
		}
		if size > MaxSize {
			return nil, false
		}
		switch {
		case len(m.Fields) > 0:
			all, _ := metrics[m.Name].([]series)
			one := seriesOf(source, m, sample)
			metrics[m.Name] = append(all, one)
			size += len(`{"labels":{},"value":0},`)
			for name, value := range one.Labels {
				size += len(name) + len(value)
			}
		case m.Type == schema.Histogram:
			metrics[m.Name] = histogramOf(source.Histogram(sample))
			size += len(m.Name)
		default:
			metrics[m.Name] = sample.Value
			size += len(m.Name)
		}
	}
	return metrics, true
}

// A series is one of the series of a metric with fields. It has a value, or count and sum.
type series struct {
	Labels map[string]string `json:"labels"`
	Value  *int64            `json:"value,omitempty"`
	*histogram
}

type histogram struct {
	Count uint64 `json:"count"`
	Sum   any    `json:"sum"`
}

func seriesOf(source *snapshot.Source, m *schema.Metric, sample snapshot.Sample) series {
	s := series{Labels: make(map[string]string, len(m.Fields))}
	for i, value := range m.Labels(sample.Series) {
		s.Labels[m.Fields[i].Name] = text(value)
	}
	if m.Type == schema.Histogram {
		s.histogram = histogramOf(source.Histogram(sample))
	} else {
		s.Value = &sample.Value
	}
	return s
}

func histogramOf(h *snapshot.Histogram) *histogram {
	if h.Total.IsFloat {
		return &histogram{h.Count(), finite(h.Total.Float)}
	}
	return &histogram{h.Count(), h.Total.Int}
}
