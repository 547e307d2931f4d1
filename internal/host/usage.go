package host

import "time"

// A Quantity is something that the host measures of a sandbox.
type Quantity uint8

// The quantities. Times are in nanoseconds, memory is in bytes.
const (
	CPU                Quantity = iota // CPU time of all processes of the sandbox's cgroup
	CPUSystem                          // the part of CPU in the kernel; the kernel estimates how CPU divides
	CPUUser                            // the part of CPU outside the kernel
	Throttled                          // time during which the CPU limit held the cgroup back
	Memory                             // memory of the cgroup now, page cache included
	MemoryPeak                         // highest value of Memory
	OOMKills                           // processes that the kernel killed because the cgroup was out of memory
	PressureCPUFull                    // time during which no process of the cgroup got CPU and at least one waited
	PressureCPUSome                    // time during which at least one process waited for CPU
	PressureIOFull                     // the same for I/O
	PressureIOSome                     //
	PressureMemoryFull                 // the same for memory
	PressureMemorySome                 //
	Threads                            // threads of the cgroup now, of all its processes
	SentryCPU                          // CPU time of the sentry process alone, without its stub processes
	SentryMemory                       // anonymous memory of the sentry, and the memory files that it holds
	quantities
)

// counts reports whether the quantity only grows.
func (q Quantity) counts() bool {
	switch q {
	case Memory, MemoryPeak, Threads, SentryMemory:
		return false
	}
	return true
}

// A quantitySet has a bit per quantity.
type quantitySet uint32

// has reports whether all of the quantities are in the set.
func (s quantitySet) has(all ...Quantity) bool {
	for _, q := range all {
		if s&(1<<q) == 0 {
			return false
		}
	}
	return true
}

// A Reason tells why quantities are absent. It is the value of a label.
type Reason string

// The reasons.
const (
	CgroupForeign     Reason = "cgroup_not_own"            // the sentry's cgroup was not made for the sandbox: runsc --ignore-cgroups
	CgroupShared      Reason = "cgroup_shared"             // processes that are not the sandbox's are in its cgroup
	CgroupLarge       Reason = "cgroup_too_large"          // there are too many processes in the cgroup to check whose they are
	CgroupUnreachable Reason = "cgroup_unreachable"        // the server sees no mount with the cgroup, as in another cgroup namespace
	CgroupUnreadable  Reason = "cgroup_unreadable"         // an error
	ControllerMissing Reason = "cgroup_controller_missing" // the cgroup lacks the controller for CPU, memory or tasks
	NetworkShared     Reason = "network_shared"            // the sandbox uses the host's network namespace: runsc --network=host
	NetworkUnreadable Reason = "network_unreadable"        // an error, or too many interfaces
	SentryUnreadable  Reason = "sentry_unreadable"         // an error, such as missing permission
	OtherNamespace    Reason = "pid_namespace"             // the sandbox runs in a PID namespace that the server cannot see
	IdentityUnproven  Reason = "identity_unproven"         // it is not known which process is the sandbox's
	OutOfTime         Reason = "out_of_time"               // the collection had no time left to measure the sandbox
)

// Usage is what the host measured of a sandbox at one time. A quantity without a value is absent,
// which is not the same as 0.
type Usage struct {
	Time       time.Time   // when it was measured
	Interfaces []Interface // of the sandbox's network namespace, in the kernel's order, without lo
	Absent     []Reason    // why quantities are absent, without duplicates

	values  [quantities]int64
	present quantitySet
}

// An Interface has the counters of a network interface, as the host sees them.
type Interface struct {
	Name     string // at most 15 bytes; UTF-8
	Counters [InterfaceCounters]int64
}

// The indexes of Interface.Counters.
const (
	ReceiveBytes = iota
	ReceiveDropped
	ReceiveErrors
	ReceivePackets
	TransmitBytes
	TransmitDropped
	TransmitErrors
	TransmitPackets
	InterfaceCounters
)

// Get returns the value of a quantity, and whether it is present.
func (u *Usage) Get(q Quantity) (value int64, ok bool) {
	return u.values[q], u.present.has(q)
}

func (u *Usage) set(q Quantity, value int64) {
	u.values[q] = value
	u.present |= 1 << q
}

func (u *Usage) has(q Quantity) bool { return u.present.has(q) }

// Miss makes the usage empty, with the reason why nothing was measured.
func (u *Usage) Miss(now time.Time, r Reason) {
	u.reset(now)
	u.lack(r)
}

// lack adds a reason why quantities are absent.
func (u *Usage) lack(r Reason) {
	for _, known := range u.Absent {
		if known == r {
			return
		}
	}
	u.Absent = append(u.Absent, r)
}

// reset makes the usage empty and keeps the memory of its slices.
func (u *Usage) reset(now time.Time) {
	*u = Usage{Time: now, Interfaces: u.Interfaces[:0], Absent: u.Absent[:0]}
}

// A counter adds up the growth of a counter of the kernel. It never falls: where the kernel's
// counter begins again, it goes on.
type counter struct {
	total  int64
	last   int64
	source uint64 // identifies the kernel's counter, such as the inode of a cgroup
	paused bool   // growth up to the next value is not the sandbox's
}

// add returns the total after the kernel's counter of the source has the value. A new source begins
// at 0. A fall without a new source counts as no growth, because what was counted before is unknown.
func (c *counter) add(source uint64, value int64) int64 {
	if source != c.source {
		c.source, c.last, c.paused = source, 0, false
	}
	if value > c.last && !c.paused {
		c.total += value - c.last
	}
	c.last, c.paused = value, false
	return c.total
}
