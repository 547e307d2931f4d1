package totals

import (
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

var noLabels snapshot.Labels

// render makes a source.
func (l *Ledger) render() snapshot.Source {
	r := rendering{Ledger: l, samples: make([]snapshot.Sample, 0, len(l.last.Samples)+len(l.schema.Kinds))}
	if l.distributed {
		r.histograms = make([]snapshot.Histogram, 0, len(l.last.Histograms))
	}
	for metric, kind := range l.schema.Kinds {
		r.metric = int32(metric)
		r.add(kind)
	}
	if !l.distributed {
		r.histograms = l.last.Histograms
	}
	source := snapshot.Source{
		Labels:     &noLabels,
		Schema:     l.schema.Schema,
		Start:      l.options.Start.UnixNano(),
		Samples:    r.samples,
		Histograms: r.histograms,
		Sets:       l.sets[:len(l.sets):len(l.sets)],
	}
	source.TextSize = l.last.TextSize
	if len(source.Samples) != len(l.last.Samples) { // with the same series, the size is about the same
		source.TextSize = source.MeasureText()
	}
	return source
}

// A rendering is a source that is being made, metric by metric.
type rendering struct {
	*Ledger
	metric     int32
	samples    []snapshot.Sample
	histograms []snapshot.Histogram
	number     int64 // of histograms so far
}

func (r *rendering) sample(set uint32, value int64) {
	r.samples = append(r.samples, snapshot.Sample{Metric: r.metric, Series: set, Value: value})
}

func (r *rendering) add(kind int) {
	switch kind {
	case schema.TotalGroups:
		r.sample(0, int64(len(r.byName)))
	case schema.TotalGroupOverflows:
		r.sample(0, r.beyond)
	case schema.TotalEnded:
		for _, g := range r.groups {
			for i, n := range g.ended {
				r.sample(g.set+1+uint32(i), n)
			}
		}
	case schema.TotalLifetime, schema.TotalLifetimeCPU, schema.TotalLifetimeMemoryPeak:
		r.addDistributions(kind)
	default:
		r.addSums(kind)
	}
}

func (r *rendering) addSums(kind int) {
	sum, ok := sumOf[kind]
	if !ok {
		sum = sums + kind - schema.TotalFamilies
	}
	for _, g := range r.groups {
		r.sample(g.set, g.sums[sum])
	}
}

// addDistributions adds the samples of a histogram, and the histograms themselves if some changed.
func (r *rendering) addDistributions(kind int) {
	for _, g := range r.groups {
		r.sample(g.set, r.number)
		r.number++
		if r.distributed {
			r.histograms = append(r.histograms, g.distribution(kind).share(schema.TotalBounds(kind)))
		}
	}
}
