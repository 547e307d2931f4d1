package schema

// Usage is the schema of what the host measures of sandboxes, and of what is made of that with the
// figures that sandboxes report. Its samples come in one source per sandbox, with the time of the
// measurement. The constants below are the indexes of its metrics.
var Usage = builtin(usageMetrics[:])

// The families of Usage, in the order of their names.
const (
	ContainerCPU = iota
	ContainerLimitCPU
	ContainerLimitMemory
	ContainerMemory
	ContainerProcesses
	ContainerStart
	ClaimDifference
	UsageCPUMode
	UsageCPU
	UsageThrottled
	UsageMemory
	UsageMemoryPeak
	NetworkReceiveBytes
	NetworkReceiveDropped
	NetworkReceiveErrors
	NetworkReceivePackets
	NetworkTransmitBytes
	NetworkTransmitDropped
	NetworkTransmitErrors
	NetworkTransmitPackets
	UsageOOMKills
	UsagePressure
	UsageThreads
	UsageAbsent
	SentryCPU
	SentryMemory
	usageFamilies
)

var usageMetrics = [usageFamilies]Metric{
	ContainerCPU:           {Name: "sandmeter_container_cpu_seconds_total", Whole: true, Help: "CPU time of the sandbox's cgroup, split by what the sandbox reports of its containers. Empty container: of none of them.", Type: Counter, Float: true, Open: true, SetLabels: []string{"container", "container_id"}},
	ContainerLimitCPU:      {Name: "sandmeter_container_limit_cpu_cores", Whole: true, Help: "CPU limit of the container in its OCI spec, in cores. Absent without a limit.", Float: true, Open: true, SetLabels: []string{"container", "container_id"}},
	ContainerLimitMemory:   {Name: "sandmeter_container_limit_memory_bytes", Whole: true, Help: "Memory limit of the container in its OCI spec, in bytes. Absent without a limit.", Open: true, SetLabels: []string{"container", "container_id"}},
	ContainerMemory:        {Name: "sandmeter_container_memory_bytes", Whole: true, Help: "Memory of the container as the sandbox reports it, at most that of the sandbox's cgroup. Split equal: of all containers, divided by their number.", Open: true, SetLabels: []string{"container", "container_id", "split"}},
	ContainerProcesses:     {Name: "sandmeter_container_processes", Whole: true, Help: "Threads and zombies of the container, as the sandbox reports them.", Open: true, SetLabels: []string{"container", "container_id"}},
	ContainerStart:         {Name: "sandmeter_container_start_time_seconds", Whole: true, Help: "When the container was created, as a unix timestamp in seconds.", Float: true, Open: true, SetLabels: []string{"container", "container_id"}, Greatest: true},
	ClaimDifference:        {Name: "sandmeter_sandbox_claim_difference_ratio", Whole: true, Help: "Difference between what the sandbox reports and what the host measured, in the last ten seconds or more, as a part of the host's figure.", Float: true, Open: true, SetLabels: []string{"of"}, Greatest: true},
	UsageCPUMode:           {Name: "sandmeter_sandbox_cpu_mode_seconds_total", Whole: true, Help: "CPU time of the sandbox's cgroup in user mode and in the kernel. The kernel estimates the division.", Type: Counter, Float: true, Open: true, SetLabels: []string{"mode"}},
	UsageCPU:               {Name: "sandmeter_sandbox_cpu_seconds_total", Whole: true, Help: "CPU time of the sandbox's cgroup.", Type: Counter, Float: true},
	UsageThrottled:         {Name: "sandmeter_sandbox_cpu_throttled_seconds_total", Whole: true, Help: "Time for which the CPU limit stopped the sandbox's cgroup. With cgroup v1, absent without a limit.", Type: Counter, Float: true},
	UsageMemory:            {Name: "sandmeter_sandbox_memory_bytes", Whole: true, Help: "Memory of the sandbox's cgroup, page cache included."},
	UsageMemoryPeak:        {Name: "sandmeter_sandbox_memory_peak_bytes", Whole: true, Help: "Highest memory of the sandbox's cgroup, page cache included."},
	NetworkReceiveBytes:    {Name: "sandmeter_sandbox_network_receive_bytes_total", Whole: true, Help: "Bytes that the network interface of the sandbox received.", Type: Counter, Open: true, SetLabels: []string{"interface"}},
	NetworkReceiveDropped:  {Name: "sandmeter_sandbox_network_receive_dropped_total", Whole: true, Help: "Received packets that the network interface of the sandbox dropped.", Type: Counter, Open: true, SetLabels: []string{"interface"}},
	NetworkReceiveErrors:   {Name: "sandmeter_sandbox_network_receive_errors_total", Whole: true, Help: "Receive errors of the network interface of the sandbox.", Type: Counter, Open: true, SetLabels: []string{"interface"}},
	NetworkReceivePackets:  {Name: "sandmeter_sandbox_network_receive_packets_total", Whole: true, Help: "Packets that the network interface of the sandbox received.", Type: Counter, Open: true, SetLabels: []string{"interface"}},
	NetworkTransmitBytes:   {Name: "sandmeter_sandbox_network_transmit_bytes_total", Whole: true, Help: "Bytes that the network interface of the sandbox sent.", Type: Counter, Open: true, SetLabels: []string{"interface"}},
	NetworkTransmitDropped: {Name: "sandmeter_sandbox_network_transmit_dropped_total", Whole: true, Help: "Packets to send that the network interface of the sandbox dropped.", Type: Counter, Open: true, SetLabels: []string{"interface"}},
	NetworkTransmitErrors:  {Name: "sandmeter_sandbox_network_transmit_errors_total", Whole: true, Help: "Transmit errors of the network interface of the sandbox.", Type: Counter, Open: true, SetLabels: []string{"interface"}},
	NetworkTransmitPackets: {Name: "sandmeter_sandbox_network_transmit_packets_total", Whole: true, Help: "Packets that the network interface of the sandbox sent.", Type: Counter, Open: true, SetLabels: []string{"interface"}},
	UsageOOMKills:          {Name: "sandmeter_sandbox_oom_kills_total", Whole: true, Help: "Processes that the kernel killed because the sandbox's cgroup was out of memory.", Type: Counter},
	UsagePressure:          {Name: "sandmeter_sandbox_pressure_seconds_total", Whole: true, Help: "Time for which some or all (full) tasks of the sandbox's cgroup waited for a resource. Only with cgroup v2.", Type: Counter, Float: true, Open: true, SetLabels: []string{"kind", "resource"}},
	UsageThreads:           {Name: "sandmeter_sandbox_threads", Whole: true, Help: "Threads of the sandbox's cgroup on the host, which its limit on tasks counts: those of the sentry, the gofer and the stub processes."},
	UsageAbsent:            {Name: "sandmeter_sandbox_usage_absent", Whole: true, Help: "Reason why the host's figures about the sandbox are absent, in whole or in part, with value 1.", Open: true, SetLabels: []string{"reason"}, Greatest: true},
	SentryCPU:              {Name: "sandmeter_sentry_cpu_seconds_total", Whole: true, Help: "CPU time of the sentry process without the stub processes. Present if the CPU time of a cgroup is absent.", Type: Counter, Float: true},
	SentryMemory:           {Name: "sandmeter_sentry_memory_bytes", Whole: true, Help: "Anonymous memory of the sentry process, and its memory files. Present if the memory of a cgroup is absent."},
}
