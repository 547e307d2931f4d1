package verify

import (
	"cmp"
	"time"

	"github.com/sandmeter/sandmeter/internal/schema"
)

// A Sample is a verified value of one series.
type Sample struct {
	Metric int32  // index in the schema's Metrics
	Series uint32 // number in the schema
	Value  int64  // of a counter or gauge; of a histogram the index in the Baseline's Histograms
}

// A Number is what a histogram's numbers are: integers, or floats.
type Number struct {
	Int     int64
	Float   float64
	IsFloat bool
}

// AsFloat returns the number, which may be rounded.
func (n Number) AsFloat() float64 {
	if n.IsFloat {
		return n.Float
	}
	return float64(n.Int)
}

// Compare is cmp.Compare of the numbers. Two integers are never rounded.
func (n Number) Compare(other Number) int {
	if n.IsFloat || other.IsFloat {
		return cmp.Compare(n.AsFloat(), other.AsFloat())
	}
	return cmp.Compare(n.Int, other.Int)
}

// A Histogram is a verified distribution.
type Histogram struct {
	Total, Min, Max Number
	SSD             float64  // sum of squared deviations from the mean
	Counts          []uint64 // of each bucket alone, one more than the schema has bounds
}

// Count is the number of samples in all buckets.
func (h *Histogram) Count() uint64 {
	var n uint64
	for _, c := range h.Counts {
		n += c
	}
	return n
}

// A Baseline is the last verified state of one sandbox: what it said last, and what its next answer is measured against. Only a
// Verifier changes it, and only when an answer keeps every rule. The zero value is that of a sandbox that has said nothing.
type Baseline struct {
	time       time.Time
	samples    []Sample // in the order of Series
	histograms []Histogram
}

// Time is when the sandbox took the last verified snapshot, by the host's clock. It is zero when there was none.
func (b *Baseline) Time() time.Time { return b.time }

// Samples returns the samples of the last snapshot in the order of Series, only of wanted metrics unless wanted is nil. Like Histogram
// results they are valid until the next answer is verified against the baseline, and not to be changed.
func (b *Baseline) Samples(wanted []bool) []Sample {
	if wanted == nil {
		return b.samples
	}
	var some []Sample
	for _, s := range b.samples {
		if wanted[s.Metric] {
			some = append(some, s)
		}
	}
	return some
}

// Lines is how many lines of a page the last snapshot takes, of wanted metrics unless wanted is nil: one a sample, and of a histogram one
// for each bucket and five more.
func (b *Baseline) Lines(s *schema.Schema, wanted []bool) int {
	if wanted == nil && len(b.histograms) == 0 {
		return len(b.samples)
	}
	n := 0
	for i := range b.samples {
		m := b.samples[i].Metric
		switch {
		case wanted != nil && !wanted[m]:
		case s.Metrics[m].Type == schema.Histogram:
			n += len(s.Metrics[m].Bounds) + 1 + 5
		default:
			n++
		}
	}
	return n
}

// Histogram returns the histogram that a sample of a histogram metric stands for.
func (b *Baseline) Histogram(s Sample) *Histogram { return &b.histograms[s.Value] }
