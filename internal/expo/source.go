package expo

import (
	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// source holds the bytes that all samples of a source share in a format.
type source struct {
	syntax *syntax
	labels *labelText
	series *seriesText
	time   []byte // of the samples, if the page has times, and the end of a line
	start  []byte // of counters and histograms; empty if unknown
}

// newSources returns the sources of a page. appendTime appends the time of a source. appendStart
// appends the start of a source with a known start; it may be nil. All times and starts are in one slice,
// so that a scrape does not allocate per sandbox here.
func newSources(p *page.Page, x *syntax, appendTime, appendStart func(b []byte, at int64) []byte) []source {
	const usual = len(" 1795338760.112\n")
	sources := make([]source, len(p.Sources))
	all := make([]byte, 0, 2*len(p.Sources)*usual)
	for i := range p.Sources {
		src, s := p.Sources[i].Source, &sources[i]
		s.syntax, s.labels, s.series = x, x.labelsOf(src.Labels), x.seriesOf(src.Schema)
		from := len(all)
		if p.Timestamps {
			all = appendTime(all, src.Time)
		} else {
			all = append(all, x.noTime...)
		}
		to := len(all)
		if appendStart != nil && hasStart(src) {
			all = appendStart(all, src.Start)
		}
		s.time, s.start = all[from:to], all[to:]
	}
	return sources
}

// hasStart reports whether the start of the counters of a source is known and earlier than its
// samples. After a step of the wall clock, it may be later than the samples; Prometheus treats this
// as an error.
func hasStart(src *snapshot.Source) bool { return src.Start > 0 && src.Start/1e6 < src.Time }

// insertion returns the labels of a sample besides the labels of its source: its fields or its
// label set, or nil if there are none.
func (s *source) insertion(m *schema.Metric, src *page.Source, sample snapshot.Sample) *insertion {
	switch {
	case m.Open:
		return s.syntax.setText(src.Sets[sample.Series])
	case len(m.Fields) > 0:
		return s.series.fields(sample)
	}
	return nil
}
