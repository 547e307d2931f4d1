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
	time   string // of the samples, if the page has times, and the end of a line
	start  string // of counters and histograms; "" if unknown
}

// newSources returns the sources of a page. appendTime appends the time of a source. appendStart
// appends the start of a source with a known start; it may be nil.
func newSources(p *page.Page, x *syntax, appendTime, appendStart func(b []byte, at int64) []byte) []source {
	sources := make([]source, len(p.Sources))
	for i := range p.Sources {
		src, s := p.Sources[i].Source, &sources[i]
		s.syntax, s.labels, s.series = x, x.labelsOf(src.Labels), x.seriesOf(src.Schema)
	}
	forSources(p, func(b []byte, src *snapshot.Source) []byte {
		if !p.Timestamps {
			return append(b, x.noTime...)
		}
		return appendTime(b, src.Time)
	}, func(i int, text string) { sources[i].time = text })
	if appendStart != nil {
		forSources(p, func(b []byte, src *snapshot.Source) []byte {
			if !hasStart(src) {
				return b
			}
			return appendStart(b, src.Start)
		}, func(i int, text string) { sources[i].start = text })
	}
	return sources
}

// forSources calls set with the text that appendOne appends for each source. All texts share one
// string, so that a scrape does not allocate per sandbox here.
func forSources(p *page.Page, appendOne func([]byte, *snapshot.Source) []byte, set func(int, string)) {
	const usual = len(" 1795338760.112\n")
	all := make([]byte, 0, len(p.Sources)*usual)
	ends := make([]int32, len(p.Sources))
	for i := range p.Sources {
		all = appendOne(all, p.Sources[i].Source)
		ends[i] = int32(len(all))
	}
	text, from := string(all), int32(0)
	for i, to := range ends {
		set(i, text[from:to])
		from = to
	}
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
