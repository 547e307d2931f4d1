package snapshot

import (
	"cmp"
	"math"
)

// A Sample is the value of one series.
type Sample struct {
	Metric int32  // index in the schema's Metrics
	Series uint32 // number in the schema; for an open metric the index in the source's Sets
	Value  int64  // for a histogram the index in the source's Histograms; for a metric with Float the bits of a float64
}

// Float returns the value of a sample whose metric has Float set.
func (s Sample) Float() float64 { return math.Float64frombits(uint64(s.Value)) }

// FloatValue returns f in the form of Sample.Value.
func FloatValue(f float64) int64 { return int64(math.Float64bits(f)) }

// A Number is a number of a histogram: an integer or a float.
type Number struct {
	Int     int64
	Float   float64
	IsFloat bool
}

// AsFloat returns the number as a float64, to which large integers are rounded.
func (n Number) AsFloat() float64 {
	if n.IsFloat {
		return n.Float
	}
	return float64(n.Int)
}

// Compare compares the numbers as cmp.Compare does. It never rounds two integers.
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
	Counts          []uint64 // of each bucket, not cumulative; one more than the schema has bounds
}

// Count returns the number of samples in all buckets.
func (h *Histogram) Count() uint64 {
	var n uint64
	for _, c := range h.Counts {
		n += c
	}
	return n
}
