package expo

import (
	"github.com/sandmeter/sandmeter/internal/schema"
)

// SeriesText has the labels of a schema's series, each rendered when it is first needed. All sandboxes of a schema share one. It is
// not safe for concurrent use.
type SeriesText struct {
	schema   *schema.Schema
	byMetric [][]*insertion // by metric, then by series of the metric; nil until needed
}

// NewSeriesText returns the text of the series of s.
func NewSeriesText(s *schema.Schema) *SeriesText {
	return &SeriesText{s, make([][]*insertion, len(s.Metrics))}
}

// metric returns a metric of the schema.
func (t *SeriesText) metric(i int32) *schema.Metric { return &t.schema.Metrics[i] }

// labels returns the labels that the series has besides the sandbox's; nil means none.
func (t *SeriesText) labels(metric int32, series uint32) *insertion {
	m := t.metric(metric)
	if len(m.Fields) == 0 {
		return nil
	}
	if t.byMetric[metric] == nil {
		t.byMetric[metric] = make([]*insertion, m.Series)
	}
	text := &t.byMetric[metric][series-m.First]
	if *text == nil {
		*text = newInsertion(fieldLabels(m, series))
	}
	return *text
}

// fieldLabels returns the fields of a series as labels.
func fieldLabels(m *schema.Metric, series uint32) []Label {
	labels := make([]Label, 0, len(m.Fields)+1)
	for i, value := range m.Labels(series) {
		labels = append(labels, Label{m.Fields[i].Name, value})
	}
	return labels
}
