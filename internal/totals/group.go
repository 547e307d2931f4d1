package totals

import (
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/sandmeter/sandmeter/internal/schema"
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

// sumOf has the sum of a family, by kind.
var sumOf = map[int]int{
	schema.TotalCPU:         sumCPU,
	schema.TotalReceived:    sumReceived,
	schema.TotalTransmitted: sumTransmitted,
	schema.TotalOOMKills:    sumOOMKills,
	schema.TotalStarted:     sumStarted,
}

// A group has the totals of the sandboxes of one group.
type group struct {
	sums  []int64
	ended [len(outcomes)]int64 // in the order of outcomes

	lifetime, cpu, memoryPeak distribution

	set uint32 // index of its label set in the source; those with the outcomes follow
}

// outcomes are the values of the label outcome. The last one stands for any other.
var outcomes = [...]snapshot.Outcome{snapshot.Exited, snapshot.Failed, snapshot.OOMKilled, snapshot.Killed, snapshot.Checkpointed,
	snapshot.Vanished, snapshot.Unregistered, snapshot.Unknown}

func newGroup(counters int) *group { return &group{sums: make([]int64, sums+counters)} }

func (g *group) countEnd(outcome snapshot.Outcome) {
	at := slices.Index(outcomes[:], outcome)
	if at < 0 {
		at = len(outcomes) - 1
	}
	g.ended[at]++
}

// distribution returns the distribution of a kind, or nil.
func (g *group) distribution(kind int) *distribution {
	switch kind {
	case schema.TotalLifetime:
		return &g.lifetime
	case schema.TotalLifetimeCPU:
		return &g.cpu
	case schema.TotalLifetimeMemoryPeak:
		return &g.memoryPeak
	}
	return nil
}

// labelSets returns the label set of a group, and those with each outcome. A nil label: the group has
// none.
func labelSets(group *string) []*snapshot.LabelSet {
	var common []snapshot.Label
	if group != nil {
		common = append(common, snapshot.Label{Name: schema.GroupLabel, Value: *group})
	}
	sets := []*snapshot.LabelSet{snapshot.NewLabelSet(common...)}
	for _, outcome := range outcomes {
		sets = append(sets, snapshot.NewLabelSet(append(slices.Clip(common), snapshot.Label{Name: "outcome", Value: string(outcome)})...))
	}
	return sets
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
	shared bool // a source has the counts, so they must not change
}

func (d *distribution) observe(value int64, bounds []int64) {
	if d.shared || d.Counts == nil {
		counts := make([]uint64, len(bounds)+1)
		copy(counts, d.Counts)
		d.Counts, d.shared = counts, false
	}
	bucket, _ := slices.BinarySearch(bounds, value)
	d.Counts[bucket]++
	d.Total.Int = add(d.Total.Int, value)
}

// share returns the histogram for a source.
func (d *distribution) share(bounds []int64) snapshot.Histogram {
	if d.Counts == nil {
		d.Counts = make([]uint64, len(bounds)+1)
	}
	d.shared = true
	return d.Histogram
}
