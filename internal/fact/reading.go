package fact

import (
	"slices"
	"time"
)

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
	Quantities                         // their number
)

// Counts reports whether the quantity only grows.
func (q Quantity) Counts() bool {
	switch q {
	case Memory, MemoryPeak, Threads, SentryMemory:
		return false
	}
	return true
}

// A Set is a set of quantities. The zero value is empty.
type Set uint32

// Has reports whether all of the quantities are in the set.
func (s Set) Has(all ...Quantity) bool {
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

// A Reading has the usage of a sandbox, measured on the host at one time. It is not safe for
// concurrent use while it is changed.
type Reading struct {
	Time       time.Time   // when it was measured
	Interfaces []Interface // of the sandbox's network namespace, in the kernel's order, without lo
	Absent     []Reason    // why quantities are absent, without duplicates

	values  [Quantities]int64
	present Set
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
func (r *Reading) Get(q Quantity) (value int64, ok bool) {
	return r.values[q], r.present.Has(q)
}

// Set makes the quantity present.
func (r *Reading) Set(q Quantity, value int64) {
	r.values[q] = value
	r.present |= 1 << q
}

// Has reports whether the quantity is present.
func (r *Reading) Has(q Quantity) bool { return r.present.Has(q) }

// WithoutGauges returns the reading without quantities that may fall, and without reasons. It shares the
// interfaces.
func (r *Reading) WithoutGauges() Reading {
	counters := Reading{Time: r.Time, Interfaces: r.Interfaces}
	for q := range Quantities {
		if value, ok := r.Get(q); ok && q.Counts() {
			counters.Set(q, value)
		}
	}
	return counters
}

// Clear makes all quantities absent.
func (r *Reading) Clear() { r.present = 0 }

// Miss makes the reading empty, with the reason why nothing was measured.
func (r *Reading) Miss(now time.Time, why Reason) {
	r.Reset(now)
	r.Lack(why)
}

// Lack adds a reason why quantities are absent.
func (r *Reading) Lack(why Reason) {
	if !slices.Contains(r.Absent, why) {
		r.Absent = append(r.Absent, why)
	}
}

// Reset makes the reading empty and keeps the memory of its slices.
func (r *Reading) Reset(now time.Time) {
	*r = Reading{Time: now, Interfaces: r.Interfaces[:0], Absent: r.Absent[:0]}
}

// Update replaces the quantities that a later measurement has. The others stay as they are, as do the
// interfaces, so it completes what was measured of a sandbox with what is left at its end.
func (r *Reading) Update(later *Reading) {
	for q := range Quantities {
		if value, ok := later.Get(q); ok {
			r.Set(q, value)
		}
	}
}

// Empty reports whether nothing was measured, and there is no reason for that: the sentry has ended.
func (r *Reading) Empty() bool { return r.present == 0 && len(r.Interfaces)+len(r.Absent) == 0 }
