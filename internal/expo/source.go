package expo

import (
	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// source is what all samples of a source have in common, in the bytes of a format.
type source struct {
	syntax *syntax
	labels *labelText
	series *seriesText // nil for the server's own families, which have no fields
	time   string      // of the samples
	start  string      // of counters and histograms; "" where it is not known
}

// newSources returns the sources of a page. The functions append the time of a source and, unless it is nil, the start of one that has it.
func newSources(p *page.Page, x *syntax, appendTime, appendStart func(b []byte, at int64) []byte) []source {
	sources := make([]source, len(p.Sources))
	for i := range p.Sources {
		src, s := p.Sources[i].Source, &sources[i]
		s.syntax, s.labels = x, x.labelsOf(src.Labels)
		if src.Schema != schema.Server {
			s.series = x.seriesOf(src.Schema)
		}
	}
	forSources(p, func(b []byte, src *snapshot.Source) []byte { return appendTime(b, src.Time) },
		func(i int, text string) { sources[i].time = text })
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

// forSources sets what is made of each source. It is parts of one string, so that a scrape makes no garbage per sandbox here.
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

// hasStart reports whether it is known when the counters of a source were 0. After a step of the wall clock that may be later than their
// samples, which Prometheus takes for an error.
func hasStart(src *snapshot.Source) bool { return src.Start > 0 && src.Start/1e6 < src.Time }

// insertion returns the labels of a sample besides those of its source: its fields or its label set, nil for none.
func (s *source) insertion(m *schema.Metric, src *page.Source, sample snapshot.Sample) *insertion {
	switch {
	case m.Open:
		return s.syntax.setText(src.Sets[sample.Series])
	case len(m.Fields) > 0:
		return s.series.fields(sample)
	}
	return nil
}
