package page

import (
	"slices"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// UsageNames selects the names of what the host measures.
type UsageNames uint8

// The names of what the host measures.
const (
	OwnNames      UsageNames = iota // those of schema.Usage
	CadvisorNames                   // those of schema.Cadvisor
	BothNames
)

func (n UsageNames) own() bool      { return n != CadvisorNames }
func (n UsageNames) cadvisor() bool { return n != OwnNames }

// An origin tells where the values of one of cAdvisor's families come from. Only one of its fields
// is set, or both of sandbox and container.
type origin struct {
	sandbox   metric // of the sandbox as a whole
	container metric // of each container
	network   metric // of each network interface
	// told returns what is known about a row without measuring it.
	told func(r *cadvisorRow, u *snapshot.Source) (value int64, known bool)
}

// A metric is a metric of schema.Usage, counted from 1. The zero value is none.
type metric int

func usage(index int) metric { return metric(index + 1) }

// origins has the origin of each of cAdvisor's families.
var origins = [schema.CadvisorFamilies]origin{
	schema.CadvisorCPU:             {sandbox: usage(schema.UsageCPU), container: usage(schema.ContainerCPU)},
	schema.CadvisorLastSeen:        {told: lastSeen},
	schema.CadvisorMemory:          {sandbox: usage(schema.UsageMemory), container: usage(schema.ContainerMemory)},
	schema.CadvisorWorkingSet:      {sandbox: usage(schema.UsageMemory), container: usage(schema.ContainerMemory)},
	schema.CadvisorReceiveBytes:    {network: usage(schema.NetworkReceiveBytes)},
	schema.CadvisorReceiveErrors:   {network: usage(schema.NetworkReceiveErrors)},
	schema.CadvisorReceiveDropped:  {network: usage(schema.NetworkReceiveDropped)},
	schema.CadvisorReceivePackets:  {network: usage(schema.NetworkReceivePackets)},
	schema.CadvisorTransmitBytes:   {network: usage(schema.NetworkTransmitBytes)},
	schema.CadvisorTransmitErrors:  {network: usage(schema.NetworkTransmitErrors)},
	schema.CadvisorTransmitDropped: {network: usage(schema.NetworkTransmitDropped)},
	schema.CadvisorTransmitPackets: {network: usage(schema.NetworkTransmitPackets)},
	schema.CadvisorOOMEvents:       {sandbox: usage(schema.UsageOOMKills)},
	schema.CadvisorProcesses:       {container: usage(schema.ContainerProcesses)},
	schema.CadvisorCPUPeriod:       {told: inSpec(func(c *snapshot.Container) int64 { return c.CPUPeriod })},
	schema.CadvisorCPUQuota:        {told: inSpec(func(c *snapshot.Container) int64 { return c.CPUQuota })},
	schema.CadvisorCPUShares:       {told: inSpec(func(c *snapshot.Container) int64 { return c.CPUShares })},
	schema.CadvisorMemoryLimit:     {told: inSpec(func(c *snapshot.Container) int64 { return c.MemoryLimit })},
	schema.CadvisorStart:           {told: started},
}

func lastSeen(_ *cadvisorRow, u *snapshot.Source) (value int64, known bool) {
	return snapshot.FloatValue(float64(u.Time) / 1e3), true
}

func started(r *cadvisorRow, _ *snapshot.Source) (value int64, known bool) {
	return snapshot.FloatValue(float64(r.root.CreatedAt.UnixMilli()) / 1e3), true
}

func inSpec(of func(*snapshot.Container) int64) func(*cadvisorRow, *snapshot.Source) (int64, bool) {
	return func(r *cadvisorRow, _ *snapshot.Source) (int64, bool) {
		if r.isPod {
			return 0, false
		}
		value := of(r.root)
		return value, value != 0
	}
}

// noLabels are those of sources whose samples have all labels in their label sets.
var noLabels = new(snapshot.Labels)

// addCadvisor adds what the host measured with the names of cAdvisor. Its labels lack the sandbox
// and the runtime root. Where that makes two sandboxes alike, the first one is on the page.
func (p *Page) addCadvisor(sandboxes []snapshot.Sandbox) {
	from := len(p.Sources)
	sources := make([]snapshot.Source, 0, len(sandboxes)) // never grows: the page refers to its elements
	taken := make(map[string]bool)
	samples := make([]snapshot.Sample, 0, schema.CadvisorFamilies*len(sandboxes))
	for i := range sandboxes {
		s := &sandboxes[i]
		if s.Usage.Schema == nil {
			continue
		}
		rows := cadvisorRowsOf(s)
		if !rows.take(taken) {
			continue
		}
		at := len(samples)
		samples = rows.appendSamples(samples, &s.Usage)
		sources = append(sources, snapshot.Source{
			Labels: noLabels, Schema: schema.Cadvisor, Time: s.Usage.Time, Start: s.Usage.Start,
			Samples: samples[at:len(samples):len(samples)], Sets: rows.sets, TextSize: rows.setSize * (len(samples) - at),
		})
		p.add(&sources[len(sources)-1], 0)
	}
	p.groups[groupCadvisor] = span{from, len(p.Sources)}
}

// appendSamples appends the samples of all families.
func (r *cadvisorRows) appendSamples(samples []snapshot.Sample, u *snapshot.Source) []snapshot.Sample {
	for i := range origins {
		add := func(set int, value int64) {
			samples = append(samples, snapshot.Sample{Metric: int32(i), Series: uint32(set), Value: value})
		}
		if o := &origins[i]; o.told != nil {
			r.addTold(add, o, u)
		} else {
			r.addNetwork(add, o, u)
			r.addMeasured(add, o, u, i == schema.CadvisorCPU)
		}
	}
	return samples
}

func (r *cadvisorRows) addTold(add func(set int, value int64), o *origin, u *snapshot.Source) {
	for i := range r.rows {
		if value, known := o.told(&r.rows[i], u); known {
			add(i, value)
		}
	}
}

func (r *cadvisorRows) addNetwork(add func(set int, value int64), o *origin, u *snapshot.Source) {
	for _, s := range o.network.in(u) {
		if set := r.place[s.Series]; set >= 0 {
			add(set, s.Value)
		}
	}
}

// addMeasured adds the figure of the sandbox to its row, and those of containers to theirs. The only
// container of a pod always has the figure of the sandbox, even if it has one of its own: that is
// not there in each collection, and a counter must not go back and forth between the two.
func (r *cadvisorRows) addMeasured(add func(set int, value int64), o *origin, u *snapshot.Source, perCPU bool) {
	first := 0 // label set of the first row
	if perCPU {
		first = len(r.rows)
	}
	for _, s := range o.sandbox.in(u) {
		add(first, s.Value)
		if r.only > 0 {
			add(first+r.only, s.Value)
		}
	}
	if r.only > 0 && o.sandbox != 0 {
		return
	}
	for _, s := range o.container.in(u) {
		if row := r.place[s.Series]; row > 0 || row == 0 && o.sandbox == 0 {
			add(first+row, s.Value)
		}
	}
}

// in returns the samples of the metric.
func (m metric) in(u *snapshot.Source) []snapshot.Sample {
	if m == 0 {
		return nil
	}
	from, _ := slices.BinarySearchFunc(u.Samples, int32(m-1), func(s snapshot.Sample, metric int32) int { return int(s.Metric - metric) })
	to := from
	for to < len(u.Samples) && u.Samples[to].Metric == int32(m-1) {
		to++
	}
	return u.Samples[from:to]
}
