package share

import (
	"slices"
	"time"
)

// maxCuts is how many cuts there may be in a collection.
const maxCuts = 4

// cutTimes returns the times, in order, at which a collection that ends at end is to be cut for the readers with earlier deadlines. A reader
// gets the last cut that is not after its deadline.
//
// Where there are more deadlines than cuts, the time from the first to the last is divided into equal parts, each with a cut at the first
// deadline in it. So no reader loses more than such a part, whatever deadlines others choose.
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
	part := early[len(early)-1].Sub(first)/maxCuts + 1 // the last one is in the last part, not behind it
	return slices.CompactFunc(early, func(a, b time.Time) bool { return a.Sub(first)/part == b.Sub(first)/part })
}
