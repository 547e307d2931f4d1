package collect

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
)

// usage is what the host measured of a sandbox, what the sandbox reported of itself, and the form of
// both in snapshots.
type usage struct {
	account  atomic.Pointer[host.Account] // nil: none is open
	found    host.Usage                   // in this collection
	late     bool                         // the last collection had no time for the sandbox
	reported reported

	absent []host.Reason // of the next snapshot, reused
	sets   usageSets
	source snapshot.Source // in the last snapshot
}

// Reasons why figures are absent that need what the sandbox reports.
const (
	eventFailed  host.Reason = "event_failed"  // the sandbox did not report them in time
	eventRefused host.Reason = "event_refused" // its reply breaks a rule, or is an error
)

// reasons returns why figures are absent.
func (u *usage) reasons() []host.Reason {
	u.absent = append(u.absent[:0], u.found.Absent...)
	switch r := &u.reported; {
	case !u.wanted():
	case r.failure != nil && r.failure.Reason == failure.ReplyRefused:
		u.absent = append(u.absent, eventRefused)
	case r.failure != nil, !r.known:
		u.absent = append(u.absent, eventFailed)
	}
	return u.absent
}

// close releases the file descriptors of the account. The next measurement begins anew.
func (u *usage) close() {
	if account := u.account.Swap(nil); account != nil {
		account.Close()
	}
}

// measureShare is the part of the time of a collection that may be spent on measuring. Sandboxes
// that are not reached by then are measured first in the next collection.
const measureShare = 4

// measure measures the selected sandboxes that run, before the first query is sent: a sandbox that is queried
// works, and would show the cost of this very scrape.
func (c *Collector) measure(deadline time.Time) {
	if c.meter == nil {
		return
	}
	c.waiting.total, c.waiting.known = c.meter.WaitingForCPU()
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.table.now()
	end := now.Add(time.Until(deadline) / measureShare)
	c.order = append(c.order[:0], c.table.sorted...)
	slices.SortStableFunc(c.order, func(a, b *sandbox) int { return int(number(b.usage.late) - number(a.usage.late)) })
	for _, s := range c.order {
		if s.selected && s.end == nil {
			c.mu.Unlock() // for the others, since the kernel may let a reader of cgroups wait
			c.mu.Lock()
			s.measure(c.meter, now, end)
			now = c.table.now()
		}
	}
	clear(c.order)
}

// measure measures the sandbox if it runs, and the end is not reached.
func (s *sandbox) measure(meter *host.Meter, now, end time.Time) {
	u := &s.usage
	u.late = false
	u.reported.begin()
	switch {
	case !s.running(): // the end has been measured, or is being measured
	case s.presence == elsewhere:
		u.close()
		u.found.Miss(now, host.OtherNamespace)
	case s.presence == unproven:
		u.close()
		u.found.Miss(now, host.IdentityUnproven)
	case now.After(end):
		u.late = true
		u.found.Miss(now, host.OutOfTime)
	default:
		if u.account.Load() == nil {
			u.account.Store(meter.Open(s.subject()))
		}
		s.readAccount(now)
	}
}

// readAccount measures the sandbox with its account. If it has just ended, what was measured last
// stays.
func (s *sandbox) readAccount(now time.Time) {
	scratch := &s.inventory.table.collector.scratch
	s.usage.account.Load().Read(scratch, now)
	if !scratch.Empty() {
		s.usage.found, *scratch = *scratch, s.usage.found
	}
}

// subject returns what the state files tell about the sandbox's place on the host.
func (s *sandbox) subject() host.Subject {
	root := &s.facts.Containers[0].Spec
	subject := host.Subject{
		ID:          s.facts.ID,
		PID:         s.process.PID(),
		Level:       s.level,
		Alive:       s.process.Alive,
		End:         s.process.End,
		CgroupsPath: root.CgroupsPath,
		PodUID:      root.PodUID,
		HostNetwork: slices.Contains(s.facts.Metadata, state.Pair{Name: "network", Value: "host"}),
	}
	for _, c := range s.facts.Containers {
		subject.Gofers = append(subject.Gofers, c.GoferPID)
	}
	return subject
}

// usageOf returns the usage of a running sandbox as a source.
func (c *Collector) usageOf(s *sandbox) snapshot.Source {
	u := &s.usage
	u.sets.update(c.table, s, u.reasons())
	c.samples = appendUsage(c.samples[:0], u, s.facts.Containers)
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
	quantity host.Quantity
	set      int // index in fixedSets, of an open metric
}

// The figures, in the order of the metrics.
var (
	figuresBeforeNetwork = [...]figure{
		{schema.UsageCPUMode, host.CPUSystem, 0},
		{schema.UsageCPUMode, host.CPUUser, 1},
		{metric: schema.UsageCPU, quantity: host.CPU},
		{metric: schema.UsageThrottled, quantity: host.Throttled},
		{metric: schema.UsageMemory, quantity: host.Memory},
		{metric: schema.UsageMemoryPeak, quantity: host.MemoryPeak},
	}
	figuresAfterNetwork = [...]figure{
		{metric: schema.UsageOOMKills, quantity: host.OOMKills},
		{schema.UsagePressure, host.PressureCPUFull, 2},
		{schema.UsagePressure, host.PressureCPUSome, 3},
		{schema.UsagePressure, host.PressureIOFull, 4},
		{schema.UsagePressure, host.PressureIOSome, 5},
		{schema.UsagePressure, host.PressureMemoryFull, 6},
		{schema.UsagePressure, host.PressureMemorySome, 7},
		{metric: schema.UsageThreads, quantity: host.Threads},
	}
	figuresOfSentry = [...]figure{
		{metric: schema.SentryCPU, quantity: host.SentryCPU},
		{metric: schema.SentryMemory, quantity: host.SentryMemory},
	}
	fixedSets = [...]*snapshot.LabelSet{
		modeSet("system"), modeSet("user"),
		pressureSet("cpu", "full"), pressureSet("cpu", "some"), pressureSet("io", "full"), pressureSet("io", "some"),
		pressureSet("memory", "full"), pressureSet("memory", "some"),
		comparedSet: differenceSet(ofCPU), differenceSet(ofMemory), differenceSet(ofNetwork), noContainerSet: containerSet("", ""),
	}
)

// Indexes in fixedSets.
const (
	comparedSet    = 8 // and the following, in the order of comparedNames
	noContainerSet = comparedSet + comparisons
)

func differenceSet(of int) *snapshot.LabelSet {
	return snapshot.NewLabelSet(snapshot.Label{Name: "of", Value: comparedNames[of]})
}

func modeSet(mode string) *snapshot.LabelSet {
	return snapshot.NewLabelSet(snapshot.Label{Name: "mode", Value: mode})
}

func pressureSet(resource, kind string) *snapshot.LabelSet {
	return snapshot.NewLabelSet(snapshot.Label{Name: "kind", Value: kind}, snapshot.Label{Name: "resource", Value: resource})
}

// usageSets are the label sets of a sandbox's usage: fixedSets, then one for each container,
// interface, reason, share of CPU time, and one for the memory of each container. They are made anew
// only when those change.
type usageSets struct {
	all        []*snapshot.LabelSet
	memo       *schema.Memo
	facts      *state.Sandbox
	interfaces []string
	absent     []host.Reason
	changes    int    // of the split
	division   string // of memory; empty: there is none
}

func (sets *usageSets) update(t *table, s *sandbox, absent []host.Reason) {
	u := &s.usage.found
	split, division := &s.usage.reported.split, s.usage.division()
	same := func(i host.Interface, name string) bool { return i.Name == name }
	if sets.facts == s.facts && slices.EqualFunc(u.Interfaces, sets.interfaces, same) && slices.Equal(absent, sets.absent) &&
		sets.changes == split.changes && sets.division == division {
		return
	}
	*sets = usageSets{facts: s.facts, absent: slices.Clone(absent), changes: split.changes, division: division, memo: new(schema.Memo)}
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
	for _, p := range split.shares {
		sets.all = append(sets.all, p.set)
	}
	if division != "" {
		for _, c := range s.facts.Containers {
			sets.all = append(sets.all, memorySet(containerName(c), c.ID, division))
		}
	}
}

// containerName returns the name that Kubernetes has for the container, or its ID. A name that is
// too long for a label counts as none.
func containerName(c *state.Container) string {
	if name := c.Spec.ContainerName; name != "" && len(name) <= maxName {
		return name
	}
	return c.ID
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
	u.addDetail(add, container, shares+len(u.reported.split.shares))
	for i, c := range containers {
		add(schema.ContainerStart, container+i, seconds(c.CreatedAt))
	}
	u.reported.addDifferences(add)
	addFigures(figuresBeforeNetwork[:])
	for k := range host.InterfaceCounters {
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

// inUnit returns a value in the unit of the metric: nanoseconds become seconds.
func inUnit(metric int, value int64) int64 {
	if schema.Usage.Metrics[metric].Float {
		return snapshot.FloatValue(float64(value) / float64(time.Second))
	}
	return value
}

// A setCache has label sets with one label, by its value, so that sandboxes share them.
type setCache struct {
	label string
	sets  map[string]*snapshot.LabelSet
}

func newSetCache(label string) setCache {
	return setCache{label, make(map[string]*snapshot.LabelSet)}
}

// maxCachedSets limits a setCache. A node has few names of interfaces; others are not worth the
// memory.
const maxCachedSets = 256

func (c *setCache) get(value string) *snapshot.LabelSet {
	set := c.sets[value]
	if set == nil {
		set = snapshot.NewLabelSet(snapshot.Label{Name: c.label, Value: value})
		if len(c.sets) < maxCachedSets {
			c.sets[value] = set
		}
	}
	return set
}
