package snapshot

import (
	"cmp"
	"math"
)

// A Sample is the value of one series.
type Sample struct {
	Metric int32  // index in the schema's Metrics
	Series uint32 // number in the schema; of an open metric the index in the source's Sets
	Value  int64  // of a counter or gauge; bits of a float64 if the metric says so; of a histogram the index in the source's Histograms
}

// Float returns the value of a sample whose metric says that it is a float.
func (s Sample) Float() float64 { return math.Float64frombits(uint64(s.Value)) }

// FloatValue returns the Value that stands for f.
func FloatValue(f float64) int64 { return int64(math.Float64bits(f)) }

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
