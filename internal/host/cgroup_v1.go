package host

import "github.com/sandmeter/sandmeter/internal/fact"

// A cgroupFile is a file that each cgroup with the controller has.
type cgroupFile struct {
	controller string
	name       string
	fields     []field
	limit      string // if this file has a negative number, the file is not read; empty: it is always read
}

// tick is the unit of CPU times in cpuacct.stat, in nanoseconds.
const tick = 1_000_000_000 / clockTicks

// noLimit begins the content of a file with a limit that is not set.
const noLimit = '-'

// filesV1 are the files of cgroup v1, as of the kernel's Documentation/admin-guide/cgroup-v1.
// Nothing is throttled without a limit; reading that each time would cost a sixth of all.
var filesV1 = []cgroupFile{
	{"cpuacct", "cpuacct.usage", []field{{"", fact.CPU, 1}}, ""},
	{"cpuacct", "cpuacct.stat", []field{{"user", fact.CPUUser, tick}, {"system", fact.CPUSystem, tick}}, ""},
	{"cpu", "cpu.stat", []field{{"throttled_time", fact.Throttled, 1}}, "cpu.cfs_quota_us"},
	{"memory", "memory.usage_in_bytes", []field{{"", fact.Memory, 1}}, ""},
	{"memory", "memory.max_usage_in_bytes", []field{{"", fact.MemoryPeak, 1}}, ""},
	{"memory", "memory.oom_control", []field{{"oom_kill", fact.OOMKills, 1}}, ""},
	{"pids", "pids.current", []field{{"", fact.Threads, 1}}, ""},
}
