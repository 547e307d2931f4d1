package collect

import (
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/claims"
	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
)

// usageOf returns the usage of a running sandbox as a source.
func (c *Collector) usageOf(s *sandbox) snapshot.Source {
	u := &s.usage
	u.sets.update(c.table, s, u.reasons())
	c.samples = appendUsage(c.samples[:0], u, s.facts.Containers)
	snapshot.SortSamples(c.samples)
	source := snapshot.Source{
		Labels: s.identity.Labels,
		Schema: schema.Usage,
		Time:   u.found.Time.UnixMilli(),
		Start:  nanoseconds(s.identity.CreatedAt),
		Sets:   u.sets.all,

		SetsMemo: u.sets.memo,
	}
	if slices.Equal(c.samples, u.source.Samples) {
		source.Samples = u.source.Samples
	} else {
		source.Samples = slices.Clone(c.samples)
	}
	source.Measure(&u.source)
	u.source = source
	return source
}

// A figure is where a quantity is in snapshots.
type figure struct {
	metric   int
	quantity fact.Quantity
	set      int // index in fixedSets, of an open metric
}

// The figures, in the order of the metrics.
var (
	figuresBeforeNetwork = [...]figure{
		{schema.UsageCPUMode, fact.CPUSystem, 0},
		{schema.UsageCPUMode, fact.CPUUser, 1},
		{metric: schema.UsageCPU, quantity: fact.CPU},
		{metric: schema.UsageThrottled, quantity: fact.Throttled},
		{metric: schema.UsageMemory, quantity: fact.Memory},
		{metric: schema.UsageMemoryPeak, quantity: fact.MemoryPeak},
	}
	figuresAfterNetwork = [...]figure{
		{metric: schema.UsageOOMKills, quantity: fact.OOMKills},
		{schema.UsagePressure, fact.PressureCPUFull, 2},
		{schema.UsagePressure, fact.PressureCPUSome, 3},
		{schema.UsagePressure, fact.PressureIOFull, 4},
		{schema.UsagePressure, fact.PressureIOSome, 5},
		{schema.UsagePressure, fact.PressureMemoryFull, 6},
		{schema.UsagePressure, fact.PressureMemorySome, 7},
		{metric: schema.UsageThreads, quantity: fact.Threads},
	}
	figuresOfSentry = [...]figure{
		{metric: schema.SentryCPU, quantity: fact.SentryCPU},
		{metric: schema.SentryMemory, quantity: fact.SentryMemory},
	}
	fixedSets = [...]*snapshot.LabelSet{
		oneLabel("mode", "system"), oneLabel("mode", "user"),
		pressureSet("cpu", "full"), pressureSet("cpu", "some"), pressureSet("io", "full"), pressureSet("io", "some"),
		pressureSet("memory", "full"), pressureSet("memory", "some"),
		comparedSet: oneLabel("of", comparedNames[claims.CPU]), oneLabel("of", comparedNames[claims.Memory]), oneLabel("of", comparedNames[claims.Network]),
		noContainerSet: containerSet("", ""),
	}
)

// Indexes in fixedSets.
const (
	comparedSet    = 8 // and the following, by claims.Subject
	noContainerSet = comparedSet + int(claims.Subjects)
)

// comparedNames are values of the label "of".
var comparedNames = [claims.Subjects]string{claims.CPU: "cpu", claims.Memory: "memory", claims.Network: "network_transmit"}

// divisionNames are values of the label "split" of a container's memory.
var divisionNames = [...]string{claims.Separate: "none", claims.Equal: "equal"}

func pressureSet(resource, kind string) *snapshot.LabelSet {
	return snapshot.NewLabelSet(snapshot.Label{Name: "kind", Value: kind}, snapshot.Label{Name: "resource", Value: resource})
}

func containerSet(name, id string, more ...snapshot.Label) *snapshot.LabelSet {
	labels := []snapshot.Label{{Name: "container", Value: name}, {Name: "container_id", Value: id}}
	return snapshot.NewLabelSet(append(labels, more...)...)
}

// usageSets are the label sets of a sandbox's usage: fixedSets, then one for each container,
// interface, reason, share of CPU time, and one for the memory of each container. They are made anew
// only when those change.
type usageSets struct {
	all        []*snapshot.LabelSet
	memo       *schema.Memo
	facts      *state.Sandbox
	interfaces []string
	absent     []fact.Reason
	shares     []*claims.Share
	division   claims.Division // of memory; claims.Incomplete: it is not shown
}

func (sets *usageSets) update(t *table, s *sandbox, absent []fact.Reason) {
	u := &s.usage.found
	division := s.usage.division()
	shares, _ := s.usage.reported.tally.Shares()
	same := func(i fact.Interface, name string) bool { return i.Name == name }
	if sets.facts == s.facts && slices.EqualFunc(u.Interfaces, sets.interfaces, same) && slices.Equal(absent, sets.absent) &&
		slices.Equal(shares, sets.shares) && sets.division == division {
		return
	}
	*sets = usageSets{facts: s.facts, absent: slices.Clone(absent), shares: slices.Clone(shares), division: division, memo: new(schema.Memo)}
	sets.all = slices.Clone(fixedSets[:])
	for _, c := range s.facts.Containers {
		sets.all = append(sets.all, containerSet(containerName(c), c.ID))
	}
	for _, i := range u.Interfaces {
		sets.interfaces = append(sets.interfaces, i.Name)
		sets.all = append(sets.all, t.interfaceSets.get(i.Name))
	}
	for _, r := range absent {
		sets.all = append(sets.all, t.absentSets.get(string(r)))
	}
	for _, p := range shares {
		sets.all = append(sets.all, containerSet(p.Name, p.ID))
	}
	if division != claims.Incomplete {
		for _, c := range s.facts.Containers {
			sets.all = append(sets.all, containerSet(containerName(c), c.ID, snapshot.Label{Name: "split", Value: divisionNames[division]}))
		}
	}
}

// appendUsage appends the samples of what was measured and reported, in the order of the families.
// Their label sets are in the order of usageSets.
func appendUsage(samples []snapshot.Sample, u *usage, containers []*state.Container) []snapshot.Sample {
	add := func(metric, series int, value int64) {
		samples = append(samples, snapshot.Sample{Metric: int32(metric), Series: uint32(series), Value: value})
	}
	addFigures := func(figures []figure) {
		for _, f := range figures {
			if value, ok := u.found.Get(f.quantity); ok {
				add(f.metric, f.set, inUnit(f.metric, value))
			}
		}
	}
	container := len(fixedSets)
	network := container + len(containers)
	absent := network + len(u.found.Interfaces)
	shares := absent + len(u.absent)
	u.addShares(add, shares)
	addLimits(add, container, containers)
	u.addDetail(add, container, shares+len(u.sets.shares))
	for i, c := range containers {
		add(schema.ContainerStart, container+i, seconds(c.CreatedAt))
	}
	u.reported.addDifferences(add)
	addFigures(figuresBeforeNetwork[:])
	for k := range fact.InterfaceCounters {
		for i := range u.found.Interfaces {
			add(schema.NetworkReceiveBytes+k, network+i, u.found.Interfaces[i].Counters[k])
		}
	}
	addFigures(figuresAfterNetwork[:])
	for i := range u.absent {
		add(schema.UsageAbsent, absent+i, 1)
	}
	addFigures(figuresOfSentry[:])
	return samples
}

// addLimits adds the limits of containers, whose first label set is set.
func addLimits(add func(metric, series int, value int64), set int, containers []*state.Container) {
	for i, c := range containers {
		if c.Spec.CPULimit > 0 {
			add(schema.ContainerLimitCPU, set+i, snapshot.FloatValue(c.Spec.CPULimit))
		}
	}
	for i, c := range containers {
		if c.Spec.MemoryLimit > 0 {
			add(schema.ContainerLimitMemory, set+i, c.Spec.MemoryLimit)
		}
	}
}

// division returns how the reported memory is divided among containers; claims.Incomplete if it is
// not shown.
func (u *usage) division() claims.Division {
	if r := &u.reported; r.detailed && u.figure(fact.Memory).Known {
		return claims.DivisionOf(r.claims, r.mounted)
	}
	return claims.Incomplete
}

// addShares adds the CPU time of containers, if the host's figure of this collection was split. The
// label sets of the shares begin with set.
func (u *usage) addShares(add func(metric, series int, value int64), set int) {
	if !u.figure(fact.CPU).Known || !u.reported.known {
		return
	}
	shares, none := u.reported.tally.Shares()
	add(schema.ContainerCPU, noContainerSet, inUnit(schema.ContainerCPU, none))
	for i, p := range shares {
		add(schema.ContainerCPU, set+i, inUnit(schema.ContainerCPU, p.CPU))
	}
}

// addDetail adds the memory and the processes of containers. The label sets of the containers begin
// with container, those for memory with memory.
func (u *usage) addDetail(add func(metric, series int, value int64), container, memory int) {
	r := &u.reported
	if !r.detailed {
		return
	}
	if u.sets.division != claims.Incomplete {
		for i, bytes := range claims.Divide(u.figure(fact.Memory).Value, r.claims) {
			add(schema.ContainerMemory, memory+i, bytes)
		}
	}
	for i, n := range r.processes {
		if n.Known {
			add(schema.ContainerProcesses, container+i, n.Value)
		}
	}
}

// addDifferences adds the differences between what was reported and what was measured.
func (r *reported) addDifferences(add func(metric, series int, value int64)) {
	for of := range claims.Subjects {
		if v := r.tally.Verdict(of); v.Known {
			add(schema.ClaimDifference, comparedSet+int(of), snapshot.FloatValue(v.Ratio))
		}
	}
}

// inUnit returns a value in the unit of the metric: nanoseconds become seconds.
func inUnit(metric int, value int64) int64 {
	if schema.Usage.Metrics[metric].Float {
		return snapshot.FloatValue(float64(value) / float64(time.Second))
	}
	return value
}
