package families

import (
	"slices"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// totals has the facts about all sandboxes, and label sets for them.
type totals struct {
	*snapshot.Totals
	sets []groupSets // by index in Groups
}

// groupSets are the label sets of a group.
type groupSets struct {
	name     string
	plain    *snapshot.LabelSet
	outcomes []*snapshot.LabelSet // by index in snapshot.Outcomes
}

// totalsPrefix begins the names of totals. The help text of a registered counter follows the pattern of
// those below.
const totalsPrefix = "sandmeter_sandboxes_"

// Rows of totals. Times are in nanoseconds, so that sums are exact. Pages show seconds.
var (
	totalsRows = []row[totals]{
		{schema.Metric{Name: totalsPrefix + "ended_total", Help: "Sandboxes that ended while this server ran, by outcome.", Type: schema.Counter, SetLabels: []string{"outcome"}},
			allPages, func(a *adder, t totals) {
				for i := range t.Groups {
					for k, n := range t.Groups[i].Ended {
						a.add(n, t.sets[i].outcomes[k])
					}
				}
			}},
		{schema.Metric{Name: totalsPrefix + "lifetime_seconds", Help: "Time from the start to the end of each ended sandbox.", Type: schema.Histogram, Unit: schema.Nanoseconds, Bounds: snapshot.LifetimeBounds, SetLabels: []string{}},
			allPages, distribution(func(g *snapshot.TotalsGroup) snapshot.Histogram { return g.Lifetimes })},
		{schema.Metric{Name: totalsPrefix + "started_total", Help: "Sandboxes that started while this server ran.", Type: schema.Counter, SetLabels: []string{}},
			allPages, sum(func(g *snapshot.TotalsGroup) int64 { return g.Started })},
	}
	// measuredRows are for totals of the host's figures.
	measuredRows = []row[totals]{
		{schema.Metric{Name: totalsPrefix + "cpu_seconds_total", Help: "CPU time of the cgroups of all sandboxes, live and ended, that this server observed.", Type: schema.Counter, Unit: schema.Nanoseconds, SetLabels: []string{}},
			allPages, sum(func(g *snapshot.TotalsGroup) int64 { return g.CPU })},
		{schema.Metric{Name: totalsPrefix + "lifetime_cpu_seconds", Help: "CPU time of each ended sandbox over its whole life.", Type: schema.Histogram, Unit: schema.Nanoseconds, Bounds: snapshot.CPUTimeBounds, SetLabels: []string{}},
			allPages, distribution(func(g *snapshot.TotalsGroup) snapshot.Histogram { return g.CPUTimes })},
		{schema.Metric{Name: totalsPrefix + "lifetime_memory_peak_bytes", Help: "Highest memory of the cgroup of each ended sandbox, page cache included.", Type: schema.Histogram, Bounds: snapshot.MemoryPeakBounds, SetLabels: []string{}},
			allPages, distribution(func(g *snapshot.TotalsGroup) snapshot.Histogram { return g.MemoryPeaks })},
		{schema.Metric{Name: totalsPrefix + "network_receive_bytes_total", Help: "Bytes that the network interfaces of all sandboxes, live and ended, received while this server observed them.", Type: schema.Counter, SetLabels: []string{}},
			allPages, sum(func(g *snapshot.TotalsGroup) int64 { return g.Received })},
		{schema.Metric{Name: totalsPrefix + "network_transmit_bytes_total", Help: "Bytes that the network interfaces of all sandboxes, live and ended, sent while this server observed them.", Type: schema.Counter, SetLabels: []string{}},
			allPages, sum(func(g *snapshot.TotalsGroup) int64 { return g.Transmitted })},
		{schema.Metric{Name: totalsPrefix + "oom_kills_total", Help: "Processes that the kernel killed because the cgroup of a sandbox, live or ended, was out of memory.", Type: schema.Counter, SetLabels: []string{}},
			allPages, sum(func(g *snapshot.TotalsGroup) int64 { return g.OOMKills })},
	}
	// groupedRows are for totals by group, about the groups themselves.
	groupedRows = []row[totals]{
		{schema.Metric{Name: "sandmeter_totals_group_overflows_total", Help: "Sandboxes in the group _other because there are too many groups, or because the name of their group is too long or not UTF-8.", Type: schema.Counter},
			allPages, func(a *adder, t totals) { a.count(t.Overflow) }},
		{schema.Metric{Name: "sandmeter_totals_groups", Help: "Number of groups that totals have, without the group _other."},
			allPages, func(a *adder, t totals) { a.count(t.Named) }},
	}
)

func sum(of func(*snapshot.TotalsGroup) int64) func(*adder, totals) {
	return func(a *adder, t totals) {
		for i := range t.Groups {
			a.add(of(&t.Groups[i]), t.sets[i].plain)
		}
	}
}

func distribution(of func(*snapshot.TotalsGroup) snapshot.Histogram) func(*adder, totals) {
	return func(a *adder, t totals) {
		for i := range t.Groups {
			a.histogram(of(&t.Groups[i]), t.sets[i].plain)
		}
	}
}

// counterMetric returns the family of a registered counter's sum. It is named like the counter in
// Prometheus's naming: a time is in seconds, and a name that already ends in _total stays.
func counterMetric(c snapshot.TotalsCounter) schema.Metric {
	name := totalsPrefix + c.Name
	if c.Unit != schema.NoUnit {
		name = strings.TrimSuffix(name, "_"+c.Unit.String()) + "_seconds_total"
	} else if !strings.HasSuffix(name, "_total") {
		name += "_total"
	}
	return schema.Metric{Name: name, Help: "Growth of the counter " + c.Name + " of all sandboxes, live and ended, while this server observed them.",
		Type: schema.Counter, Unit: c.Unit, SetLabels: []string{}}
}

// newTotalsTable returns the table for totals with these registered counters.
func newTotalsTable(counters []snapshot.TotalsCounter, grouped, measured bool) table[totals] {
	rows := slices.Clone(totalsRows)
	if measured {
		rows = append(rows, measuredRows...)
	}
	if grouped {
		rows = append(rows, groupedRows...)
	}
	for i, c := range counters {
		rows = append(rows, row[totals]{counterMetric(c), allPages, sum(func(g *snapshot.TotalsGroup) int64 { return g.Counters[i] })})
	}
	for i := range rows {
		if m := &rows[i].Metric; grouped && m.SetLabels != nil {
			m.SetLabels = append([]string{groupLabel}, m.SetLabels...)
		}
	}
	return newTable(false, rows...)
}

// groupLabel is the label with the group of a total.
const groupLabel = "group"

// TotalsSchema returns the schema of totals.
func TotalsSchema(counters []snapshot.TotalsCounter, grouped, measured bool) *schema.Schema {
	return newTotalsTable(counters, grouped, measured).Schema
}

// totalsTable is the table for the totals of a server, with the last source.
type totalsTable struct {
	table    table[totals]
	counters []snapshot.TotalsCounter
	facts    *snapshot.Totals // of the last source; nil: there was none
	sets     []groupSets
	adder    adder
	source   snapshot.Source
}

// totalsOf returns the samples of totals. If they are those of the last source, its memory is used
// again.
func (f *Families) totalsOf(t *snapshot.Totals, now time.Time) snapshot.Source {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.totals.update(t)
	source := f.totals.source
	source.Time = now.UnixMilli()
	return source
}

func (l *totalsTable) update(t *snapshot.Totals) {
	if l.facts == t {
		return
	}
	if l.facts == nil || l.facts.Grouped != t.Grouped || l.facts.Measured != t.Measured || !slices.Equal(l.counters, t.Counters) {
		l.table, l.counters = newTotalsTable(t.Counters, t.Grouped, t.Measured), t.Counters
	}
	l.facts = t
	for i := range t.Groups {
		if i < len(l.sets) && l.sets[i].name == t.Groups[i].Name {
			continue
		}
		l.sets = append(l.sets[:i:i], newGroupSets(t.Groups[i].Name, t.Grouped))
	}
	source := snapshot.Source{Labels: noLabels, Start: nanoseconds(t.Started)}
	l.adder.exact = true
	l.table.convert(&l.adder, totals{t, l.sets}, &source, &l.source)
	l.source = source
}

func newGroupSets(name string, grouped bool) groupSets {
	var common []snapshot.Label
	if grouped {
		common = append(common, label(groupLabel, name))
	}
	sets := groupSets{name: name, plain: snapshot.NewLabelSet(common...)}
	for _, outcome := range snapshot.Outcomes {
		sets.outcomes = append(sets.outcomes, snapshot.NewLabelSet(append(slices.Clip(common), label("outcome", string(outcome)))...))
	}
	return sets
}
