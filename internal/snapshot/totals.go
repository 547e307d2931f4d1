package snapshot

import (
	"time"

	"github.com/sandmeter/sandmeter/internal/schema"
)

// Totals are sums and distributions over all sandboxes, live and ended, that a server has observed.
// They never fall. They are immutable.
type Totals struct {
	Started  time.Time // when all were 0
	Measured bool      // the host measures sandboxes; else there are no totals of usage
	Grouped  bool      // groups have names
	Groups   []TotalsGroup
	Named    int64           // groups, without the one for all others
	Overflow int64           // sandboxes in the group for all others
	Counters []TotalsCounter // registered counters of which groups have sums
}

// A TotalsCounter is a counter that sandboxes register.
type TotalsCounter struct {
	Name string      // as registered
	Unit schema.Unit // as registered; NoUnit until it is known
}

// A TotalsGroup has the totals of the sandboxes of one group.
type TotalsGroup struct {
	Name        string
	CPU         int64 // nanoseconds
	Received    int64 // bytes
	Transmitted int64 // bytes
	OOMKills    int64
	Started     int64
	Counters    []int64 // by index in Totals.Counters
	Ended       []int64 // by index in Outcomes

	// Of sandboxes that have ended.
	Lifetimes   Histogram // nanoseconds; bounds: LifetimeBounds
	CPUTimes    Histogram // nanoseconds; bounds: CPUTimeBounds
	MemoryPeaks Histogram // bytes; bounds: MemoryPeakBounds
}

// The bounds of the histograms of totals. They must not be changed.
var (
	LifetimeBounds   = milliseconds(100, 250, 500, 1e3, 2500, 5e3, 10e3, 30e3, 60e3, 300e3, 900e3, 3600e3, 4*3600e3, 24*3600e3)
	CPUTimeBounds    = milliseconds(10, 50, 100, 500, 1e3, 5e3, 10e3, 60e3, 300e3, 1800e3, 3600e3, 4*3600e3)
	MemoryPeakBounds = doubling(16<<20, 64<<30)
)

// milliseconds returns bounds in nanoseconds.
func milliseconds(bounds ...int64) []int64 {
	for i := range bounds {
		bounds[i] *= int64(time.Millisecond)
	}
	return bounds
}

func doubling(from, to int64) (bounds []int64) {
	for bound := from; bound <= to; bound *= 2 {
		bounds = append(bounds, bound)
	}
	return bounds
}
