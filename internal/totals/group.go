package totals

import (
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// Limits of groups, because users choose their names.
const (
	maxGroups = 1000
	maxName   = 128 // bytes
)

// overflowGroup has the sandboxes of groups beyond the limits. A name of users that begins with an
// underscore gets another one in front, so it is never equal to this one.
const overflowGroup = "_other"

// labelOf returns the value of the label of a group. Different groups have different values.
func labelOf(name string) string {
	if strings.HasPrefix(name, "_") {
		return "_" + name
	}
	return name
}

// fits reports whether the name of a group can be the value of a label.
func fits(name string) bool { return len(name) <= maxName && utf8.ValidString(name) }

// Sums of a group. Registered counters follow, in the order of Options.Metrics.
const (
	sumCPU = iota // in nanoseconds
	sumReceived
	sumTransmitted
	sumOOMKills
	sumStarted
	sums
)

// A group has the totals of the sandboxes of one group.
type group struct {
	name  string // value of its label
	sums  []int64
	ended []int64 // in the order of snapshot.Outcomes

	lifetimes, cpuTimes, memoryPeaks distribution
}

func newGroup(name string, counters int) *group {
	return &group{name: name, sums: make([]int64, sums+counters), ended: make([]int64, len(snapshot.Outcomes)),
		lifetimes:   distribution{bounds: snapshot.LifetimeBounds},
		cpuTimes:    distribution{bounds: snapshot.CPUTimeBounds},
		memoryPeaks: distribution{bounds: snapshot.MemoryPeakBounds}}
}

// countEnd counts an end. The last outcome stands for any that is not known here.
func (g *group) countEnd(outcome snapshot.Outcome) {
	at := slices.Index(snapshot.Outcomes, outcome)
	if at < 0 {
		at = len(snapshot.Outcomes) - 1
	}
	g.ended[at]++
}

// view returns the totals of the group as snapshots have them. It appends their lists of numbers to
// numbers, which has room for them.
func (g *group) view(numbers *[]int64) snapshot.TotalsGroup {
	keep := func(list []int64) []int64 {
		from := len(*numbers)
		*numbers = append(*numbers, list...)
		return (*numbers)[from:len(*numbers):len(*numbers)]
	}
	return snapshot.TotalsGroup{
		Name:        g.name,
		CPU:         g.sums[sumCPU],
		Received:    g.sums[sumReceived],
		Transmitted: g.sums[sumTransmitted],
		OOMKills:    g.sums[sumOOMKills],
		Started:     g.sums[sumStarted],
		Counters:    keep(g.sums[sums:]),
		Ended:       keep(g.ended),
		Lifetimes:   g.lifetimes.share(),
		CPUTimes:    g.cpuTimes.share(),
		MemoryPeaks: g.memoryPeaks.share(),
	}
}

// add adds numbers that are not negative. At the maximum the sum stays, since it must not fall.
func add(a, b int64) int64 {
	if b > math.MaxInt64-a {
		return math.MaxInt64
	}
	return a + b
}

// A distribution is a histogram of values that are observed once per life.
type distribution struct {
	snapshot.Histogram
	bounds []int64
	shared bool // a snapshot has the counts, so they must not change
}

func (d *distribution) observe(value int64) {
	if d.shared || d.Counts == nil {
		counts := make([]uint64, len(d.bounds)+1)
		copy(counts, d.Counts)
		d.Counts, d.shared = counts, false
	}
	bucket, _ := slices.BinarySearch(d.bounds, value)
	d.Counts[bucket]++
	d.Total.Int = add(d.Total.Int, value)
}

// share returns the histogram for a snapshot.
func (d *distribution) share() snapshot.Histogram {
	if d.Counts == nil {
		d.Counts = make([]uint64, len(d.bounds)+1)
	}
	d.shared = true
	return d.Histogram
}
