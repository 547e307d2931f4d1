package page

import (
	"iter"
	"slices"

	dto "github.com/prometheus/client_model/go"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A Page is the content of one response: a selection of the families of a snapshot. It is
// immutable, and its methods are safe for concurrent use.
type Page struct {
	Families []Family // sorted by name, without duplicates; formats leave out families without samples
	Sources  []Source // in the order of their samples within a family
	// Process are the families about the server process, sorted by name, which formats put before
	// Families. They have no timestamps and must not be changed.
	Process []*dto.MetricFamily
	// Timestamps says that samples carry the time of their source.
	Timestamps bool

	groups      [groups]span // of Sources
	allFamilies int          // number of families without filters and rules
	textSize    int          // approximate bytes of text of all of them
}

// Sources are in groups, since all samples of a family are from the same group.
const (
	groupReported = iota // reported by sandboxes
	groupServer          // about the server itself
	groupTotals          // totals over all sandboxes
	groupSandbox         // about the state of sandboxes
	groupUsage           // about the usage of sandboxes
	groupCadvisor        // the same, with the names of cAdvisor
	groups
)

// span is a part of a slice.
type span struct{ from, to int }

// A Source is a source of a page.
type Source struct {
	*snapshot.Source
	Index int // in the page's Sources
	kind  int // sources with the same schema have the same kind
}

// A Family is all samples with the same name.
type Family struct {
	Name string
	Help string
	Type schema.Type
	Part Part
	// PerSecond divides values and bounds: 1, unless the page converts them to seconds.
	PerSecond int64

	metricName string // without prefix, as registered; the metrics of all kinds have the same
	group      int
	metric     []int32 // by kind of source: the index of the metric in its schema; -1: the schema has none
	sets       *Filter // filter for the first label of an open metric's label sets
}

// PartPerSecond returns by what values of the family's part are divided. The unit of SSD is the
// square of the metric's.
func (f *Family) PartPerSecond() int64 {
	if f.Part == SSD {
		return f.PerSecond * f.PerSecond
	}
	return f.PerSecond
}

// A Part is the part of a metric that a family has.
type Part uint8

// A histogram is four families: the histogram itself, and three gauges for values that Prometheus's
// histograms do not have.
const (
	Whole Part = iota
	Min
	Max
	SSD
)

// suffix returns the suffix that a part adds to the name of its metric.
func (p Part) suffix() string { return [...]string{"", "_min", "_max", "_ssd"}[p] }

// Of returns the value of a histogram for the part.
func (p Part) Of(h *snapshot.Histogram) snapshot.Number {
	switch p {
	case Min:
		return h.Min
	case Max:
		return h.Max
	default:
		return snapshot.Number{Float: h.SSD, IsFloat: true}
	}
}

// TextSize returns the approximate number of bytes of the page as text. A buffer of that size rarely grows
// while a page of all families is rendered. Other pages are taken to have as much of the text as they have
// of the families.
func (p *Page) TextSize() int { return p.textSize * len(p.Families) / max(p.allFamilies, 1) }

// A Walk iterates over the samples of a page. Each rendering uses its own Walk. It is not safe for
// concurrent use. Within a source, samples are in the order of the schema's metrics, which is
// nearly always the order of the families. So the samples of the next family begin where those of
// the last family ended, and the walk keeps that position.
type Walk struct {
	page   *Page
	next   []int32           // by source
	filled []snapshot.Sample // buffer for samples with zeros
}

// Walk begins a walk.
func (p *Page) Walk() *Walk { return &Walk{page: p, next: make([]int32, len(p.Sources))} }

// Samples iterates over the sources that have samples of the family, in the order of the page's
// Sources. The samples must not be changed, and are valid until the next iteration. Families may be
// walked in any order; the order of the page is fastest.
func (w *Walk) Samples(f *Family) iter.Seq2[*Source, []snapshot.Sample] {
	return func(yield func(*Source, []snapshot.Sample) bool) {
		group := w.page.groups[f.group]
		for i := group.from; i < group.to; i++ {
			src := &w.page.Sources[i]
			metric := f.metric[src.kind]
			if metric < 0 {
				continue
			}
			samples := w.samples(src, metric)
			if f.sets != nil {
				samples = f.wanted(src, samples)
			}
			if len(samples) > 0 && !yield(src, samples) {
				return
			}
		}
	}
}

// samples returns the samples of a metric, with those of series that the sandbox did not send if the
// metric has Zero.
func (w *Walk) samples(src *Source, metric int32) []snapshot.Sample {
	from, to := w.find(src, metric)
	samples := src.Samples[from:to]
	if m := &src.Schema.Metrics[metric]; m.Zero && len(samples) < int(m.Series) {
		w.filled = src.Fill(w.filled[:0], metric, samples)
		return w.filled
	}
	return samples
}

// nearby is how far back find looks before it searches. Suffixes of names, such as _total, change
// the order of families only a little.
const nearby = 8

// find returns the range of the samples of a metric.
func (w *Walk) find(src *Source, metric int32) (from, to int) {
	samples, at := src.Samples, int(w.next[src.Index])
	for steps := 0; steps < nearby && at > 0 && samples[at-1].Metric >= metric; steps++ {
		at--
	}
	if at > 0 && samples[at-1].Metric >= metric {
		at, _ = slices.BinarySearchFunc(samples, metric, func(s snapshot.Sample, metric int32) int { return int(s.Metric - metric) })
	}
	for at < len(samples) && samples[at].Metric < metric {
		at++ // a family that the page leaves out
	}
	from = at
	for at < len(samples) && samples[at].Metric == metric {
		at++
	}
	w.next[src.Index] = int32(at)
	return from, at
}

// wanted returns the samples of an open metric whose label sets match the family's filter. A set
// without labels, because the first one is dropped, stays.
func (f *Family) wanted(src *Source, samples []snapshot.Sample) []snapshot.Sample {
	return slices.DeleteFunc(slices.Clone(samples), func(s snapshot.Sample) bool {
		pairs := src.Sets[s.Series].Pairs
		if len(pairs) == 0 {
			return false
		}
		name := pairs[0].Value
		return !f.sets.Match(name) && !f.sets.Match("CAP_"+name)
	})
}
