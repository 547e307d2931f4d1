package host

import "github.com/sandmeter/sandmeter/internal/fact"

// micro is the unit of times of cgroup v2, in nanoseconds.
const micro = 1000

// filesV2 are the files of cgroup v2, as of the kernel's Documentation/admin-guide/cgroup-v2.rst.
// cpu.stat and the pressure files need no controller. memory.peak exists since Linux 5.19.
var filesV2 = []cgroupFile{
	{"cpu", "cpu.stat", []field{
		{"usage_usec", fact.CPU, micro}, {"user_usec", fact.CPUUser, micro}, {"system_usec", fact.CPUSystem, micro}, {"throttled_usec", fact.Throttled, micro},
	}, ""},
	{"memory", "memory.current", []field{{"", fact.Memory, 1}}, ""},
	{"memory", "memory.peak", []field{{"", fact.MemoryPeak, 1}}, ""},
	{"memory", "memory.events", []field{{"oom_kill", fact.OOMKills, 1}}, ""},
	{"pids", "pids.current", []field{{"", fact.Threads, 1}}, ""},
	{"", "cpu.pressure", []field{{"full", fact.PressureCPUFull, micro}, {"some", fact.PressureCPUSome, micro}}, ""},
	{"", "io.pressure", []field{{"full", fact.PressureIOFull, micro}, {"some", fact.PressureIOSome, micro}}, ""},
	{"", "memory.pressure", []field{{"full", fact.PressureMemoryFull, micro}, {"some", fact.PressureMemorySome, micro}}, ""},
}
