package share

import (
	"slices"
	"testing"
	"time"
)

func TestCutTimes(t *testing.T) {
	start := time.Now()
	check := func(deadlines, want []float64) {
		t.Helper()
		var times []time.Time
		for _, s := range deadlines {
			times = append(times, start.Add(time.Duration(s*float64(time.Second))))
		}
		var got []float64
		for _, at := range cutTimes(times, start.Add(5*time.Second)) {
			got = append(got, at.Sub(start).Round(time.Millisecond).Seconds())
		}
		if !slices.Equal(got, want) {
			t.Errorf("deadlines at %v s make cuts at %v s, want %v s", deadlines, got, want)
		}
	}
	// Only deadlines before the end need a cut. Equal deadlines share a cut.
	check(nil, nil)
	check([]float64{5, 9, 60}, nil)
	check([]float64{9.5, 1}, []float64{1})
	check([]float64{3, 1, 3, 2, 1, 4, 5}, []float64{1, 2, 3, 4})

	// With more than four deadlines, each quarter of the time from the first to the last has a cut
	// at its first deadline.
	check([]float64{1, 2, 3, 4, 4.5}, []float64{1, 2, 3, 4})
	check([]float64{0.1, 0.2, 0.3, 0.4, 2.5}, []float64{0.1, 2.5})
	check([]float64{0.1, 2.5, 2.6, 2.7, 2.8}, []float64{0.1, 2.5})
	check([]float64{1, 1.1, 1.9, 2.1, 2.9, 3.1, 3.9, 4.1, 4.9}, []float64{1, 2.1, 3.1, 4.1})
	check([]float64{-1, 0, 1, 2, 3}, []float64{-1, 1, 2, 3})
}
