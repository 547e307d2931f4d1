package families

import (
	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// cadvisor has the facts about a sandbox, and its rows.
type cadvisor struct {
	*snapshot.Sandbox
	*cadvisorRows
}

// cadvisorTable has the usage of sandboxes under the names of cAdvisor. All samples have label sets of
// their own, and no labels of a sandbox.
var cadvisorTable = newTable(true, []row[cadvisor]{
	{schema.Metric{Name: "container_cpu_usage_seconds_total", Help: "CPU time of the pod or container.", Type: schema.Counter, Float: true, SetLabels: []string{"cpu"}},
		allPages, addCPU},
	{schema.Metric{Name: "container_last_seen", Help: "When the pod or container was measured, as a unix timestamp in seconds.", Float: true},
		allPages, addLastSeen},
	{schema.Metric{Name: "container_memory_usage_bytes", Help: "Memory of the pod or container, page cache included."},
		allPages, addMemory},
	{schema.Metric{Name: "container_memory_working_set_bytes", Help: "The same as container_memory_usage_bytes: which memory of a sandbox is inactive is not known."},
		allPages, addMemory},
	{schema.Metric{Name: "container_network_receive_bytes_total", Help: "Bytes that the network interface of the pod received.", Type: schema.Counter, SetLabels: []string{"interface"}},
		allPages, network(fact.ReceiveBytes)},
	{schema.Metric{Name: "container_network_receive_errors_total", Help: "Receive errors of the network interface of the pod.", Type: schema.Counter, SetLabels: []string{"interface"}},
		allPages, network(fact.ReceiveErrors)},
	{schema.Metric{Name: "container_network_receive_packets_dropped_total", Help: "Received packets that the network interface of the pod dropped.", Type: schema.Counter, SetLabels: []string{"interface"}},
		allPages, network(fact.ReceiveDropped)},
	{schema.Metric{Name: "container_network_receive_packets_total", Help: "Packets that the network interface of the pod received.", Type: schema.Counter, SetLabels: []string{"interface"}},
		allPages, network(fact.ReceivePackets)},
	{schema.Metric{Name: "container_network_transmit_bytes_total", Help: "Bytes that the network interface of the pod sent.", Type: schema.Counter, SetLabels: []string{"interface"}},
		allPages, network(fact.TransmitBytes)},
	{schema.Metric{Name: "container_network_transmit_errors_total", Help: "Transmit errors of the network interface of the pod.", Type: schema.Counter, SetLabels: []string{"interface"}},
		allPages, network(fact.TransmitErrors)},
	{schema.Metric{Name: "container_network_transmit_packets_dropped_total", Help: "Packets to send that the network interface of the pod dropped.", Type: schema.Counter, SetLabels: []string{"interface"}},
		allPages, network(fact.TransmitDropped)},
	{schema.Metric{Name: "container_network_transmit_packets_total", Help: "Packets that the network interface of the pod sent.", Type: schema.Counter, SetLabels: []string{"interface"}},
		allPages, network(fact.TransmitPackets)},
	{schema.Metric{Name: "container_oom_events_total", Help: "Processes that the kernel killed because the pod or container was out of memory.", Type: schema.Counter},
		allPages, addOOMKills},
	{schema.Metric{Name: "container_processes", Help: "Threads and zombies of the container, as the sandbox reports them."},
		allPages, addProcesses},
	{schema.Metric{Name: "container_spec_cpu_period", Help: "Period of the CPU quota in the OCI spec of the container, in microseconds."},
		allPages, spec(func(c *snapshot.Container) int64 { return c.CPUPeriod })},
	{schema.Metric{Name: "container_spec_cpu_quota", Help: "CPU quota per period in the OCI spec of the container, in microseconds. Absent without a limit."},
		allPages, spec(func(c *snapshot.Container) int64 { return c.CPUQuota })},
	{schema.Metric{Name: "container_spec_cpu_shares", Help: "CPU shares in the OCI spec of the container."},
		allPages, spec(func(c *snapshot.Container) int64 { return c.CPUShares })},
	{schema.Metric{Name: "container_spec_memory_limit_bytes", Help: "Memory limit in the OCI spec of the container. Absent without a limit."},
		allPages, spec(func(c *snapshot.Container) int64 { return c.MemoryLimit })},
	{schema.Metric{Name: "container_start_time_seconds", Help: "When the pod or container was created, as a unix timestamp in seconds.", Float: true},
		allPages, addStart},
}...)

// addCPU adds the CPU time of the sandbox to its row, and that of containers to theirs. The only
// container of a pod always has the figure of the sandbox, even if it has a share: that is not there in
// each collection, and a counter must not go back and forth between the two.
func addCPU(a *adder, s cadvisor) {
	cpu, ok := s.Usage.Get(fact.CPU)
	if !ok {
		return
	}
	a.figure(cpu, s.rows[0].totalCPU)
	if s.only > 0 {
		a.figure(cpu, s.rows[s.only].totalCPU)
		return
	}
	for i := range s.Usage.Shares {
		if at := s.find(s.Usage.Shares[i].ID); at > 0 {
			a.figure(s.Usage.Shares[i].CPU, s.rows[at].totalCPU)
		}
	}
}

// addMemory does the same for memory. Memory that the sandbox divided by the number of containers is
// left out: cAdvisor has no label to tell.
func addMemory(a *adder, s cadvisor) {
	if memory, ok := s.Usage.Get(fact.Memory); ok {
		a.add(memory, s.rows[0].set)
		if s.only > 0 {
			a.add(memory, s.rows[s.only].set)
		}
	}
	if s.only > 0 || s.Usage.EqualMemory {
		return
	}
	for i, f := range s.Usage.Memory {
		if at := s.container(i); at > 0 && f.Known {
			a.add(f.Value, s.rows[at].set)
		}
	}
}

func addOOMKills(a *adder, s cadvisor) {
	if kills, ok := s.Usage.Get(fact.OOMKills); ok {
		a.add(kills, s.rows[0].set)
		if s.only > 0 {
			a.add(kills, s.rows[s.only].set)
		}
	}
}

func addProcesses(a *adder, s cadvisor) {
	for i, f := range s.Usage.Processes {
		if f.Known {
			a.add(f.Value, s.rows[s.container(i)].set)
		}
	}
}

// network returns a value function for a counter of network interfaces, by its index in fact.Interface.
func network(counter int) func(*adder, cadvisor) {
	return func(a *adder, s cadvisor) {
		for i := range s.Usage.Interfaces {
			a.add(s.Usage.Interfaces[i].Counters[counter], s.interfaces[i])
		}
	}
}

// spec returns a value function for a number in the OCI specs of containers; 0: there is none.
func spec(of func(*snapshot.Container) int64) func(*adder, cadvisor) {
	return func(a *adder, s cadvisor) {
		for i := range s.rows {
			if row := &s.rows[i]; !row.isPod && of(row.root) != 0 {
				a.add(of(row.root), row.set)
			}
		}
	}
}

func addLastSeen(a *adder, s cadvisor) {
	for i := range s.rows {
		a.add(snapshot.FloatValue(float64(s.Usage.Time.UnixMilli())/1e3), s.rows[i].set)
	}
}

func addStart(a *adder, s cadvisor) {
	for i := range s.rows {
		a.add(snapshot.FloatValue(float64(s.rows[i].root.CreatedAt.UnixMilli())/1e3), s.rows[i].set)
	}
}
