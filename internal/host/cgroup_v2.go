package host

// micro is the unit of times of cgroup v2, in nanoseconds.
const micro = 1000

// filesV2 are the files of cgroup v2, as of the kernel's Documentation/admin-guide/cgroup-v2.rst.
// cpu.stat and the pressure files need no controller. memory.peak exists since Linux 5.19.
var filesV2 = []cgroupFile{
	{"cpu", "cpu.stat", []field{
		{"usage_usec", CPU, micro}, {"user_usec", CPUUser, micro}, {"system_usec", CPUSystem, micro}, {"throttled_usec", Throttled, micro},
	}, ""},
	{"memory", "memory.current", []field{{"", Memory, 1}}, ""},
	{"memory", "memory.peak", []field{{"", MemoryPeak, 1}}, ""},
	{"memory", "memory.events", []field{{"oom_kill", OOMKills, 1}}, ""},
	{"pids", "pids.current", []field{{"", Threads, 1}}, ""},
	{"", "cpu.pressure", []field{{"full", PressureCPUFull, micro}, {"some", PressureCPUSome, micro}}, ""},
	{"", "io.pressure", []field{{"full", PressureIOFull, micro}, {"some", PressureIOSome, micro}}, ""},
	{"", "memory.pressure", []field{{"full", PressureMemoryFull, micro}, {"some", PressureMemorySome, micro}}, ""},
}
