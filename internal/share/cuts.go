package share

import (
	"slices"
	"time"
)

// maxCuts limits the number of cuts in a collection.
const maxCuts = 4

// cutTimes returns, in order, the times at which a collection that ends at end is cut for readers
// with earlier deadlines. A reader gets the last cut that is not after its deadline.
//
// If there are more deadlines than cuts, the time from the first deadline to the last is divided
// into equal parts, and each part has a cut at its first deadline. A reader therefore loses at most
// one part, whatever the other deadlines are.
func cutTimes(deadlines []time.Time, end time.Time) []time.Time {
	var early []time.Time
	for _, d := range deadlines {
		if d.Before(end) {
			early = append(early, d)
		}
	}
	slices.SortFunc(early, time.Time.Compare)
	early = slices.CompactFunc(early, time.Time.Equal)
	if len(early) <= maxCuts {
		return early
	}
	first := early[0]
	// +1 keeps the last deadline inside the last part.
	part := early[len(early)-1].Sub(first)/maxCuts + 1
	return slices.CompactFunc(early, func(a, b time.Time) bool { return a.Sub(first)/part == b.Sub(first)/part })
}
