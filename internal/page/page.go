package page

import (
	"iter"
	"slices"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A Page is what one response shows of a snapshot. It is immutable, and its methods are safe for concurrent use.
type Page struct {
	Families []Family // sorted by name, each once; those without samples are for formats to leave out
	Sources  []Source // in the order in which their samples follow each other within a family

	groups       [groups]span // of Sources
	whole        bool         // no filter
	textSize     int          // about how many bytes the text of the page would have without filters
	reportedSize int          // of these, what sandboxes report
}

// Sources come in two groups, since a family has samples of one of them only.
const (
	groupReported = iota // by sandboxes
	groupServer          // by the server
	groups
)

// span is a part of a slice.
type span struct{ from, to int }

// A Source is a source of a page.
type Source struct {
	*snapshot.Source
	Index int // in the page's Sources
	kind  int // sources of one schema have the same
}

// A Family is all samples of one name.
type Family struct {
	Name string // whole, with the exporter's prefix
	Help string
	Type schema.Type
	Part Part

	group  int
	metric []int32 // by kind of source: the index of the metric in its schema; -1: the schema has none
	sets   *Filter // of the first label of an open metric's label sets
}

// A Part is what a family has of its metric.
type Part uint8

// A histogram is a family, and its extremes and deviation, for which Prometheus's histograms have no place, are three more.
const (
	Whole Part = iota
	Min
	Max
	SSD
)

// suffix is what a part adds to the name of its metric.
func (p Part) suffix() string { return [...]string{"", "_min", "_max", "_ssd"}[p] }

// Of returns the number that the part has of a histogram.
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

// probes is how many sources are looked at to find out which part of the whole a filtered page is.
const probes = 16

// TextSize is about how many bytes the page has as text, so that a buffer need not grow while it is filled.
func (p *Page) TextSize() int {
	if p.whole {
		return p.textSize
	}
	var kept, all int
	walk := p.Walk()
	group := p.groups[groupReported]
	for at := group.from; at < group.to; at += (group.to-group.from)/probes + 1 {
		src := &p.Sources[at]
		all += src.TextSize
		for i := range p.Families {
			f := &p.Families[i]
			if f.group != groupReported || f.Part != Whole || f.metric[src.kind] < 0 {
				continue
			}
			some := *src.Source
			from, to := walk.find(src, f.metric[src.kind])
			some.Samples = some.Samples[from:to]
			kept += some.MeasureText()
		}
	}
	left := p.reportedSize
	if all > 0 {
		left = int(int64(left) * int64(kept) / int64(all))
	}
	return p.textSize - p.reportedSize + left
}

// A Walk goes through the samples of a page. Each format has one of its own; it is not safe for concurrent use.
//
// Within a source, samples are in the order of the schema's metrics, which is nearly always that of the families. So the next family's samples
// stand where the last one's ended, and the walk remembers where that is.
type Walk struct {
	page *Page
	next []int32 // by source
}

// Walk begins a walk.
func (p *Page) Walk() *Walk { return &Walk{p, make([]int32, len(p.Sources))} }

// Samples returns the family's samples, source by source, in the order of the page's Sources, and none of a source without any. The samples
// belong to the snapshot and must not be changed. Families may come in any order; in that of the page it is quickest.
func (w *Walk) Samples(f *Family) iter.Seq2[*Source, []snapshot.Sample] {
	return func(yield func(*Source, []snapshot.Sample) bool) {
		group := w.page.groups[f.group]
		for i := group.from; i < group.to; i++ {
			src := &w.page.Sources[i]
			metric := f.metric[src.kind]
			if metric < 0 {
				continue
			}
			from, to := w.find(src, metric)
			if from == to {
				continue
			}
			samples := src.Samples[from:to]
			if f.sets != nil {
				samples = f.wanted(src, samples)
			}
			if len(samples) > 0 && !yield(src, samples) {
				return
			}
		}
	}
}

// find returns where the samples of a metric are.
func (w *Walk) find(src *Source, metric int32) (from, to int) {
	samples, at := src.Samples, int(w.next[src.Index])
	if at > 0 && samples[at-1].Metric >= metric {
		at, _ = slices.BinarySearchFunc(samples, metric, func(s snapshot.Sample, metric int32) int { return int(s.Metric - metric) })
	}
	for at < len(samples) && samples[at].Metric < metric {
		at++ // of a family that the page leaves out
	}
	from = at
	for at < len(samples) && samples[at].Metric == metric {
		at++
	}
	w.next[src.Index] = int32(at)
	return from, at
}

// wanted returns the samples of an open metric whose label sets the family's filter lets pass.
func (f *Family) wanted(src *Source, samples []snapshot.Sample) []snapshot.Sample {
	return slices.DeleteFunc(slices.Clone(samples), func(s snapshot.Sample) bool {
		name := src.Sets[s.Series].Pairs[0].Value
		return !f.sets.Match(name) && !f.sets.Match("CAP_"+name)
	})
}
