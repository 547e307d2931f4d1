package schema

// Cadvisor is the schema of what the host measures of sandboxes, with the names that cAdvisor has
// for it. Pages derive its samples from those of Usage. The constants below are the indexes of its
// metrics.
var Cadvisor = cadvisor()

// The families of Cadvisor, in the order of their names.
const (
	CadvisorCPU = iota
	CadvisorLastSeen
	CadvisorMemory
	CadvisorWorkingSet
	CadvisorReceiveBytes
	CadvisorReceiveErrors
	CadvisorReceiveDropped
	CadvisorReceivePackets
	CadvisorTransmitBytes
	CadvisorTransmitErrors
	CadvisorTransmitDropped
	CadvisorTransmitPackets
	CadvisorOOMEvents
	CadvisorProcesses
	CadvisorCPUPeriod
	CadvisorCPUQuota
	CadvisorCPUShares
	CadvisorMemoryLimit
	CadvisorStart
	CadvisorFamilies // their number
)

var cadvisorMetrics = [CadvisorFamilies]Metric{
	CadvisorCPU:             {Name: "container_cpu_usage_seconds_total", Help: "CPU time of the pod or container.", Type: Counter, Float: true, SetLabels: []string{"cpu"}},
	CadvisorLastSeen:        {Name: "container_last_seen", Help: "When the pod or container was measured, as a unix timestamp in seconds.", Float: true},
	CadvisorMemory:          {Name: "container_memory_usage_bytes", Help: "Memory of the pod or container, page cache included."},
	CadvisorWorkingSet:      {Name: "container_memory_working_set_bytes", Help: "The same as container_memory_usage_bytes: which memory of a sandbox is inactive is not known."},
	CadvisorReceiveBytes:    {Name: "container_network_receive_bytes_total", Help: "Bytes that the network interface of the pod received.", Type: Counter, SetLabels: []string{"interface"}},
	CadvisorReceiveErrors:   {Name: "container_network_receive_errors_total", Help: "Receive errors of the network interface of the pod.", Type: Counter, SetLabels: []string{"interface"}},
	CadvisorReceiveDropped:  {Name: "container_network_receive_packets_dropped_total", Help: "Received packets that the network interface of the pod dropped.", Type: Counter, SetLabels: []string{"interface"}},
	CadvisorReceivePackets:  {Name: "container_network_receive_packets_total", Help: "Packets that the network interface of the pod received.", Type: Counter, SetLabels: []string{"interface"}},
	CadvisorTransmitBytes:   {Name: "container_network_transmit_bytes_total", Help: "Bytes that the network interface of the pod sent.", Type: Counter, SetLabels: []string{"interface"}},
	CadvisorTransmitErrors:  {Name: "container_network_transmit_errors_total", Help: "Transmit errors of the network interface of the pod.", Type: Counter, SetLabels: []string{"interface"}},
	CadvisorTransmitDropped: {Name: "container_network_transmit_packets_dropped_total", Help: "Packets to send that the network interface of the pod dropped.", Type: Counter, SetLabels: []string{"interface"}},
	CadvisorTransmitPackets: {Name: "container_network_transmit_packets_total", Help: "Packets that the network interface of the pod sent.", Type: Counter, SetLabels: []string{"interface"}},
	CadvisorOOMEvents:       {Name: "container_oom_events_total", Help: "Processes that the kernel killed because the pod or container was out of memory.", Type: Counter},
	CadvisorProcesses:       {Name: "container_processes", Help: "Threads and zombies of the container, as the sandbox reports them."},
	CadvisorCPUPeriod:       {Name: "container_spec_cpu_period", Help: "Period of the CPU quota in the OCI spec of the container, in microseconds."},
	CadvisorCPUQuota:        {Name: "container_spec_cpu_quota", Help: "CPU quota per period in the OCI spec of the container, in microseconds. Absent without a limit."},
	CadvisorCPUShares:       {Name: "container_spec_cpu_shares", Help: "CPU shares in the OCI spec of the container."},
	CadvisorMemoryLimit:     {Name: "container_spec_memory_limit_bytes", Help: "Memory limit in the OCI spec of the container. Absent without a limit."},
	CadvisorStart:           {Name: "container_start_time_seconds", Help: "When the pod or container was created, as a unix timestamp in seconds.", Float: true},
}

// cadvisor makes the schema. All samples have label sets of their own, and no labels of a sandbox.
func cadvisor() *Schema {
	s := builtin(cadvisorMetrics[:])
	for i := range s.Metrics {
		s.Metrics[i].Whole, s.Metrics[i].Open = true, true
	}
	return s
}
