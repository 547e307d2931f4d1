package page

import (
	"math"
	"slices"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// united returns the value of two series of a metric that have become equal.
func united(m *schema.Metric, a, b int64) int64 {
	x, y := math.Float64frombits(uint64(a)), math.Float64frombits(uint64(b))
	switch {
	case m.Float && m.Greatest:
		return snapshot.FloatValue(max(x, y))
	case m.Float:
		return snapshot.FloatValue(x + y)
	case m.Greatest:
		return max(a, b)
	}
	return sum(a, b)
}

// sum returns a+b, or the nearest number if that is none. So a sum of counters never falls.
func sum(a, b int64) int64 {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}

// unitedHistogram returns the distribution of the samples of both, which have the same bounds. It
// shares no memory with them.
func unitedHistogram(a, b *snapshot.Histogram) snapshot.Histogram {
	counts := slices.Clone(a.Counts)
	for i, n := range b.Counts {
		if counts[i] += n; counts[i] < n {
			counts[i] = math.MaxUint64
		}
	}
	switch {
	case b.Count() == 0:
		return snapshot.Histogram{Total: a.Total, Min: a.Min, Max: a.Max, SSD: a.SSD, Counts: counts}
	case a.Count() == 0:
		return snapshot.Histogram{Total: b.Total, Min: b.Min, Max: b.Max, SSD: b.SSD, Counts: counts}
	}
	h := snapshot.Histogram{Total: sumNumbers(a.Total, b.Total), Min: a.Min, Max: a.Max, SSD: unitedSSD(a, b), Counts: counts}
	if b.Min.Compare(h.Min) < 0 {
		h.Min = b.Min
	}
	if b.Max.Compare(h.Max) > 0 {
		h.Max = b.Max
	}
	return h
}

// unitedSSD returns the sum of squared deviations from the mean of all samples: that of each from
// its own mean, and that of the two means.
func unitedSSD(a, b *snapshot.Histogram) float64 {
	n, m := float64(a.Count()), float64(b.Count())
	between := a.Total.AsFloat()/n - b.Total.AsFloat()/m
	return a.SSD + b.SSD + between*between*n*m/(n+m)
}

func sumNumbers(a, b snapshot.Number) snapshot.Number {
	if !a.IsFloat && !b.IsFloat {
		if total := a.Int + b.Int; total == sum(a.Int, b.Int) {
			return snapshot.Number{Int: total}
		}
	}
	return snapshot.Number{Float: a.AsFloat() + b.AsFloat(), IsFloat: true}
}
