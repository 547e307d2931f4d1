package snapshot

import (
	"slices"
	"testing"
)

// TestSortSamples: families may be added in any order, and the series of one keep theirs.
func TestSortSamples(t *testing.T) {
	samples := []Sample{{Metric: 3, Series: 1}, {Metric: 1, Series: 2}, {Metric: 3, Series: 0}, {Metric: 1, Series: 5}, {Metric: 2}}
	want := []Sample{{Metric: 1, Series: 2}, {Metric: 1, Series: 5}, {Metric: 2}, {Metric: 3, Series: 1}, {Metric: 3, Series: 0}}
	for range 2 { // sorted samples stay as they are
		if SortSamples(samples); !slices.Equal(samples, want) {
			t.Errorf("%v, want %v", samples, want)
		}
	}
	SortSamples(nil)
}
