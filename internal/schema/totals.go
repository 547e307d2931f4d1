package schema

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// The families of totals over all sandboxes, live and ended. Counters that sandboxes register
// follow as TotalFamilies, TotalFamilies+1, and so on.
const (
	TotalCPU = iota
	TotalEnded
	TotalLifetimeCPU
	TotalLifetimeMemoryPeak
	TotalLifetime
	TotalReceived
	TotalTransmitted
	TotalOOMKills
	TotalStarted
	TotalGroupOverflows
	TotalGroups
	TotalFamilies
)

// GroupLabel is the label with the group of a total.
const GroupLabel = "group"

// totalsPrefix begins the names of totals. The help text of a counter follows the pattern of those
// below.
const totalsPrefix = "sandmeter_sandboxes_"

// Totals of times are in nanoseconds, so that sums are exact. Pages show seconds.
var totalsMetrics = [TotalFamilies]Metric{
	TotalCPU:                {Name: totalsPrefix + "cpu_seconds_total", Help: "CPU time of the cgroups of all sandboxes, live and ended, that this server observed.", Type: Counter, Unit: Nanoseconds},
	TotalEnded:              {Name: totalsPrefix + "ended_total", Help: "Sandboxes that ended while this server ran, by outcome.", Type: Counter, SetLabels: []string{"outcome"}},
	TotalLifetimeCPU:        {Name: totalsPrefix + "lifetime_cpu_seconds", Help: "CPU time of each ended sandbox over its whole life.", Type: Histogram, Unit: Nanoseconds, Bounds: cpuBounds},
	TotalLifetimeMemoryPeak: {Name: totalsPrefix + "lifetime_memory_peak_bytes", Help: "Highest memory of the cgroup of each ended sandbox, page cache included.", Type: Histogram, Bounds: memoryBounds},
	TotalLifetime:           {Name: totalsPrefix + "lifetime_seconds", Help: "Time from the start to the end of each ended sandbox.", Type: Histogram, Unit: Nanoseconds, Bounds: lifetimeBounds},
	TotalReceived:           {Name: totalsPrefix + "network_receive_bytes_total", Help: "Bytes that the network interfaces of all sandboxes, live and ended, received while this server observed them.", Type: Counter},
	TotalTransmitted:        {Name: totalsPrefix + "network_transmit_bytes_total", Help: "Bytes that the network interfaces of all sandboxes, live and ended, sent while this server observed them.", Type: Counter},
	TotalOOMKills:           {Name: totalsPrefix + "oom_kills_total", Help: "Processes that the kernel killed because the cgroup of a sandbox, live or ended, was out of memory.", Type: Counter},
	TotalStarted:            {Name: totalsPrefix + "started_total", Help: "Sandboxes that started while this server ran.", Type: Counter},
	TotalGroupOverflows:     {Name: "sandmeter_totals_group_overflows_total", Help: "Sandboxes in the group _other because there are too many groups, or because the name of their group is too long or not UTF-8.", Type: Counter},
	TotalGroups:             {Name: "sandmeter_totals_groups", Help: "Number of groups that totals have, without the group _other."},
}

// The bounds of the histograms, in nanoseconds and bytes.
var (
	lifetimeBounds = milliseconds(100, 250, 500, 1e3, 2500, 5e3, 10e3, 30e3, 60e3, 300e3, 900e3, 3600e3, 4*3600e3, 24*3600e3)
	cpuBounds      = milliseconds(10, 50, 100, 500, 1e3, 5e3, 10e3, 60e3, 300e3, 1800e3, 3600e3, 4*3600e3)
	memoryBounds   = doubling(16<<20, 64<<30)
)

func milliseconds(bounds ...int64) []int64 {
	for i := range bounds {
		bounds[i] *= 1e6
	}
	return bounds
}

func doubling(from, to int64) (bounds []int64) {
	for bound := from; bound <= to; bound *= 2 {
		bounds = append(bounds, bound)
	}
	return bounds
}

// A TotalsCounter is a registered counter of which totals have the sum.
type TotalsCounter struct {
	Name string // as registered
	Unit Unit   // as registered; NoUnit until it is known
}

// metric returns the family of the sum. It is named like the counter in Prometheus's naming: a time
// is in seconds, and a name that already ends in _total stays.
func (c TotalsCounter) metric() Metric {
	name := totalsPrefix + c.Name
	if c.Unit != NoUnit {
		name = strings.TrimSuffix(name, "_"+c.Unit.String()) + "_seconds_total"
	} else if !strings.HasSuffix(name, "_total") {
		name += "_total"
	}
	return Metric{Name: name, Help: "Growth of the counter " + c.Name + " of all sandboxes, live and ended, while this server observed them.",
		Type: Counter, Unit: c.Unit}
}

// Totals are the families of totals as a schema, whose samples come in one source. All but those
// about groups are open metrics.
type Totals struct {
	*Schema
	Kinds []int // by index in Metrics: which family it is
}

// NewTotals returns the schema of totals. grouped: sums have the label group. measured: the host
// measures sandboxes; otherwise the families of what it measures are left out. The names of the
// counters must have passed CheckTotals.
func NewTotals(counters []TotalsCounter, grouped, measured bool) Totals {
	type family struct {
		Metric
		kind int
	}
	var families []family
	for kind, m := range totalsMetrics {
		if wantedTotal(kind, grouped, measured) {
			families = append(families, family{m, kind})
		}
	}
	for i, c := range counters {
		families = append(families, family{c.metric(), TotalFamilies + i})
	}
	slices.SortFunc(families, func(a, b family) int { return cmp.Compare(a.Name, b.Name) })
	var t Totals
	metrics := make([]Metric, 0, len(families))
	for _, f := range families {
		metrics = append(metrics, openTotal(f.Metric, f.kind, grouped))
		t.Kinds = append(t.Kinds, f.kind)
	}
	t.Schema = builtin(metrics)
	return t
}

func wantedTotal(kind int, grouped, measured bool) bool {
	switch kind {
	case TotalGroups, TotalGroupOverflows:
		return grouped
	case TotalCPU, TotalReceived, TotalTransmitted, TotalOOMKills, TotalLifetimeCPU, TotalLifetimeMemoryPeak:
		return measured
	}
	return true
}

func openTotal(m Metric, kind int, grouped bool) Metric {
	m.Whole = true
	if kind == TotalGroups || kind == TotalGroupOverflows {
		return m
	}
	m.Open = true
	if grouped {
		m.SetLabels = append([]string{GroupLabel}, m.SetLabels...)
	}
	return m
}

// MaxTotalsCounters is how many registered counters totals may have.
const MaxTotalsCounters = 32

// CheckTotals returns an error if totals cannot have the sums of registered counters of these names.
func CheckTotals(names []string) error {
	if len(names) > MaxTotalsCounters {
		return fmt.Errorf("%d metrics for totals: give at most %d", len(names), MaxTotalsCounters)
	}
	taken := make(map[string]string) // the family or metric that has the name
	for _, metrics := range [][]Metric{serverMetrics[:], usageMetrics[:], totalsMetrics[:]} {
		for i := range metrics {
			for _, name := range pageNames(&metrics[i]) {
				taken[name] = metrics[i].Name
			}
		}
	}
	for i, name := range names {
		switch {
		case !validName.MatchString(name):
			return fmt.Errorf("metric %s for totals: give a name as runsc registers it, without prefix, such as fs_opens", quote(name))
		case slices.Contains(names[:i], name):
			return fmt.Errorf("metric %s for totals: it is given twice", quote(name))
		}
		if err := takeNames(taken, name); err != nil {
			return err
		}
	}
	return nil
}

// takeNames takes the names of a counter's sum. Only a registration tells whether it is a time, so it
// takes the names of both.
func takeNames(taken map[string]string, counter string) error {
	for _, unit := range []Unit{NoUnit, Nanoseconds} {
		m := TotalsCounter{counter, unit}.metric()
		for _, name := range pageNames(&m) {
			if by, is := taken[name]; is && by != counter {
				return fmt.Errorf("metric %s for totals: the name of its family, %s, conflicts with %s: leave it out", quote(counter), m.Name, by)
			}
			taken[name] = counter
		}
	}
	return nil
}

// pageNames returns all names that a family of the server's own has in any format: those of the
// family and of its samples.
func pageNames(m *Metric) []string {
	names := []string{m.Name}
	base := m.Name
	switch m.Type {
	case Counter:
		base = strings.TrimSuffix(m.Name, "_total")
		names = append(names, base)
	case Histogram:
		for _, suffix := range histogramSuffixes {
			names = append(names, base+suffix)
		}
	case Gauge:
		return names
	}
	return append(names, base+"_created")
}

// TotalBounds returns the bounds of a histogram of totals, by its kind. The slice must not be
// changed.
func TotalBounds(kind int) []int64 { return totalsMetrics[kind].Bounds }
