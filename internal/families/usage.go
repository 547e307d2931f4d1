package families

import (
	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// usageTable has the families about the resources that a sandbox uses. Its samples have the time of the
// measurement.
var usageTable = newTable(false, []row[sandbox]{
	{schema.Metric{Name: "sandmeter_container_cpu_seconds_total", Help: "CPU time of the sandbox's cgroup, split by what the sandbox reports of its containers. Empty container: of none of them.", Type: schema.Counter, Float: true, SetLabels: []string{"container", "container_id"}},
		allPages, func(a *adder, s sandbox) {
			if s.Usage.Unattributed.Known {
				a.figure(s.Usage.Unattributed.Value, unattributed)
			}
			for i := range s.Usage.Shares {
				a.figure(s.Usage.Shares[i].CPU, s.labels.shares[i])
			}
		}},
	{schema.Metric{Name: "sandmeter_container_limit_cpu_cores", Help: "CPU limit of the container in its OCI spec, in cores. Absent without a limit.", Float: true, SetLabels: []string{"container", "container_id"}},
		allPages, func(a *adder, s sandbox) {
			for i := range s.Containers {
				if limit := s.Containers[i].CPULimit; limit > 0 {
					a.add(snapshot.FloatValue(limit), s.labels.containers[i])
				}
			}
		}},
	{schema.Metric{Name: "sandmeter_container_limit_memory_bytes", Help: "Memory limit of the container in its OCI spec, in bytes. Absent without a limit.", SetLabels: []string{"container", "container_id"}},
		allPages, func(a *adder, s sandbox) {
			for i := range s.Containers {
				if limit := s.Containers[i].MemoryLimit; limit > 0 {
					a.add(limit, s.labels.containers[i])
				}
			}
		}},
	{schema.Metric{Name: "sandmeter_container_memory_bytes", Help: "Memory of the container as the sandbox reports it, at most that of the sandbox's cgroup. Split equal: of all containers, divided by their number.", SetLabels: []string{"container", "container_id", "split"}},
		allPages, func(a *adder, s sandbox) { a.figures(s.Usage.Memory, s.labels.memory) }},
	{schema.Metric{Name: "sandmeter_container_processes", Help: "Threads and zombies of the container, as the sandbox reports them.", SetLabels: []string{"container", "container_id"}},
		allPages, func(a *adder, s sandbox) { a.figures(s.Usage.Processes, s.labels.containers) }},
	{schema.Metric{Name: "sandmeter_container_start_time_seconds", Help: "When the container was created, as a unix timestamp in seconds.", Float: true, SetLabels: []string{"container", "container_id"}},
		allPages, func(a *adder, s sandbox) {
			for i := range s.Containers {
				a.at(s.Containers[i].CreatedAt, s.labels.containers[i])
			}
		}},
	{schema.Metric{Name: "sandmeter_sandbox_claim_difference_ratio", Help: "Difference between what the sandbox reports and what the host measured, in the last ten seconds or more, as a part of the host's figure.", Float: true, SetLabels: []string{"of"}},
		allPages, func(a *adder, s sandbox) {
			d := &s.Usage.Differences
			a.ratio(d.CPU, ofCPU)
			a.ratio(d.Memory, ofMemory)
			a.ratio(d.NetworkTransmit, ofNetwork)
		}},
	{schema.Metric{Name: "sandmeter_sandbox_cpu_mode_seconds_total", Help: "CPU time of the sandbox's cgroup in user mode and in the kernel. The kernel estimates the division.", Type: schema.Counter, Float: true, SetLabels: []string{"mode"}},
		allPages, quantities(of{fact.CPUSystem, mode("system")}, of{fact.CPUUser, mode("user")})},
	{schema.Metric{Name: "sandmeter_sandbox_cpu_seconds_total", Help: "CPU time of the sandbox's cgroup.", Type: schema.Counter, Float: true},
		allPages, quantities(of{q: fact.CPU})},
	{schema.Metric{Name: "sandmeter_sandbox_cpu_throttled_seconds_total", Help: "Time for which the CPU limit stopped the sandbox's cgroup. With cgroup v1, absent without a limit.", Type: schema.Counter, Float: true},
		allPages, quantities(of{q: fact.Throttled})},
	{schema.Metric{Name: "sandmeter_sandbox_memory_bytes", Help: "Memory of the sandbox's cgroup, page cache included."},
		allPages, quantities(of{q: fact.Memory})},
	{schema.Metric{Name: "sandmeter_sandbox_memory_peak_bytes", Help: "Highest memory of the sandbox's cgroup, page cache included."},
		allPages, quantities(of{q: fact.MemoryPeak})},
	{schema.Metric{Name: "sandmeter_sandbox_network_receive_bytes_total", Help: "Bytes that the network interface of the sandbox received.", Type: schema.Counter, SetLabels: []string{"interface"}},
		allPages, interfaces(fact.ReceiveBytes)},
	{schema.Metric{Name: "sandmeter_sandbox_network_receive_dropped_total", Help: "Received packets that the network interface of the sandbox dropped.", Type: schema.Counter, SetLabels: []string{"interface"}},
		allPages, interfaces(fact.ReceiveDropped)},
	{schema.Metric{Name: "sandmeter_sandbox_network_receive_errors_total", Help: "Receive errors of the network interface of the sandbox.", Type: schema.Counter, SetLabels: []string{"interface"}},
		allPages, interfaces(fact.ReceiveErrors)},
	{schema.Metric{Name: "sandmeter_sandbox_network_receive_packets_total", Help: "Packets that the network interface of the sandbox received.", Type: schema.Counter, SetLabels: []string{"interface"}},
		allPages, interfaces(fact.ReceivePackets)},
	{schema.Metric{Name: "sandmeter_sandbox_network_transmit_bytes_total", Help: "Bytes that the network interface of the sandbox sent.", Type: schema.Counter, SetLabels: []string{"interface"}},
		allPages, interfaces(fact.TransmitBytes)},
	{schema.Metric{Name: "sandmeter_sandbox_network_transmit_dropped_total", Help: "Packets to send that the network interface of the sandbox dropped.", Type: schema.Counter, SetLabels: []string{"interface"}},
		allPages, interfaces(fact.TransmitDropped)},
	{schema.Metric{Name: "sandmeter_sandbox_network_transmit_errors_total", Help: "Transmit errors of the network interface of the sandbox.", Type: schema.Counter, SetLabels: []string{"interface"}},
		allPages, interfaces(fact.TransmitErrors)},
	{schema.Metric{Name: "sandmeter_sandbox_network_transmit_packets_total", Help: "Packets that the network interface of the sandbox sent.", Type: schema.Counter, SetLabels: []string{"interface"}},
		allPages, interfaces(fact.TransmitPackets)},
	{schema.Metric{Name: "sandmeter_sandbox_oom_kills_total", Help: "Processes that the kernel killed because the sandbox's cgroup was out of memory.", Type: schema.Counter},
		allPages, quantities(of{q: fact.OOMKills})},
	{schema.Metric{Name: "sandmeter_sandbox_pressure_seconds_total", Help: "Time for which some or all (full) tasks of the sandbox's cgroup waited for a resource. Only with cgroup v2.", Type: schema.Counter, Float: true, SetLabels: []string{"kind", "resource"}},
		allPages, quantities(
			of{fact.PressureCPUFull, pressure("cpu", "full")}, of{fact.PressureCPUSome, pressure("cpu", "some")},
			of{fact.PressureIOFull, pressure("io", "full")}, of{fact.PressureIOSome, pressure("io", "some")},
			of{fact.PressureMemoryFull, pressure("memory", "full")}, of{fact.PressureMemorySome, pressure("memory", "some")})},
	{schema.Metric{Name: "sandmeter_sandbox_threads", Help: "Threads of the sandbox's cgroup on the host, which its limit on tasks counts: those of the sentry, the gofer and the stub processes."},
		allPages, quantities(of{q: fact.Threads})},
	{schema.Metric{Name: "sandmeter_sandbox_usage_absent", Help: "Reason why the host's figures about the sandbox are absent, in whole or in part, with value 1.", SetLabels: []string{"reason"}},
		allPages, func(a *adder, s sandbox) {
			for _, reason := range s.Usage.Unknown {
				a.one(labeled("reason", string(reason)))
			}
		}},
	{schema.Metric{Name: "sandmeter_sentry_cpu_seconds_total", Help: "CPU time of the sentry process without the stub processes. Present if the CPU time of a cgroup is absent.", Type: schema.Counter, Float: true},
		allPages, quantities(of{q: fact.SentryCPU})},
	{schema.Metric{Name: "sandmeter_sentry_memory_bytes", Help: "Anonymous memory of the sentry process, and its memory files. Present if the memory of a cgroup is absent."},
		allPages, quantities(of{q: fact.SentryMemory})},
}...)

// Label sets that all sandboxes have in common.
var (
	unattributed = containerSet("", "") // CPU time that belongs to no container

	ofCPU, ofMemory, ofNetwork = labeled("of", "cpu"), labeled("of", "memory"), labeled("of", "network_transmit")
)

// of is a quantity, and the label set of its sample; nil: none.
type of struct {
	q   fact.Quantity
	set *snapshot.LabelSet
}

func mode(name string) *snapshot.LabelSet { return labeled("mode", name) }

func pressure(resource, kind string) *snapshot.LabelSet {
	return snapshot.NewLabelSet(label("kind", kind), label("resource", resource))
}

// quantities returns a value function for quantities of the host.
func quantities(all ...of) func(*adder, sandbox) {
	return func(a *adder, s sandbox) {
		for i := range all {
			if value, ok := s.Usage.Get(all[i].q); ok {
				a.figure(value, all[i].set)
			}
		}
	}
}

// interfaces returns a value function for a counter of network interfaces, by its index in
// fact.Interface.
func interfaces(counter int) func(*adder, sandbox) {
	return func(a *adder, s sandbox) {
		for i := range s.Usage.Interfaces {
			a.add(s.Usage.Interfaces[i].Counters[counter], s.labels.interfaces[i])
		}
	}
}

// figures adds the figures that are known, with the label set of the same index.
func (a *adder) figures(all []fact.Figure, sets []*snapshot.LabelSet) {
	for i, f := range all {
		if f.Known {
			a.add(f.Value, sets[i])
		}
	}
}

func (a *adder) ratio(r snapshot.Ratio, of *snapshot.LabelSet) {
	if r.Known {
		a.add(snapshot.FloatValue(r.Value), of)
	}
}
