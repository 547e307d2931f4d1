package collect

import (
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// reported is what a sandbox reports of its use, and what is made of it with the host's figures. The
// collecting goroutine calls begin before the queries. While they run, it belongs to the loop's
// goroutine, which calls take and finish.
type reported struct {
	containers []verify.Container // of the state files, in their order; at most verify.MaxContainers
	claims     []claim            // their CPU time, reused
	accounted  bool               // a container has cgroups mounted, so the sandbox knows the memory of each

	// Of the collection under way, or the last one.
	detailed  bool             // each container is asked about
	known     bool             // the sandbox has reported CPU time
	failure   *failure.Failure // why it has not reported all
	memory    []int64          // by container; verify.NotReported: it has not
	processes []int64          // by container
	elapsed   time.Duration    // since the last collection in which it was known

	split       split
	comparisons [comparisons]comparison
	last        compared
	strangers   int // collections in a row in which unknown containers were reported
	unknown     int // how many in the last one

	loggedFailure   failure.Reason
	loggedStrangers bool
}

// compared are the figures of the last collection that are compared by their growth, besides those
// of split.
type compared struct {
	at              time.Time
	throttled       int64
	waiting         waiting
	sent, claimSent int64
	interfaces      bool // sent and claimSent are there
}

// learn takes over the containers of the state files.
func (r *reported) learn(facts *state.Sandbox) {
	r.containers = nil
	r.accounted = slices.ContainsFunc(facts.Containers, func(c *state.Container) bool { return c.Spec.CgroupMount })
	for _, c := range facts.Containers[:min(len(facts.Containers), verify.MaxContainers)] {
		r.containers = append(r.containers, verify.Container{ID: c.ID, Name: c.Spec.ContainerName})
	}
	// Where a container was started again, the name is that of the last one.
	for i, c := range r.containers {
		later := func(j int) bool { return facts.Containers[j].CreatedAt.After(facts.Containers[i].CreatedAt) }
		for j := range r.containers {
			if r.containers[j].Name == c.Name && later(j) {
				r.containers[i].Name = ""
			}
		}
	}
	r.begin()
}

// begin forgets what the last collection was told.
func (r *reported) begin() {
	r.known, r.failure = false, nil
	r.memory, r.processes = unreported(r.memory, len(r.containers)), unreported(r.processes, len(r.containers))
}

func unreported(figures []int64, n int) []int64 {
	return append(figures[:0], slices.Repeat([]int64{verify.NotReported}, n)...)
}

// wanted reports whether to ask the sandbox: whether the host measured something that can be split or
// compared, or the figures are shown as they are.
func (u *usage) wanted() bool {
	_, cpu := u.found.Get(host.CPU)
	_, memory := u.found.Get(host.Memory)
	return cpu || memory || len(u.found.Interfaces) > 0 || u.reported.detailed
}

// take takes over a reply about the container with an index. The reply about the first one has the
// CPU time of all.
func (s *sandbox) take(at int, e verify.Event) {
	r := &s.usage.reported
	r.memory[at], r.processes[at] = e.Memory, e.Processes
	if at == 0 {
		r.known, r.elapsed = true, 0
		if !r.last.at.IsZero() {
			r.elapsed = max(0, s.usage.found.Time.Sub(r.last.at))
		}
		r.countStrangers(e.Unknown)
		s.takeCPU(&e, r.elapsed)
		s.takeNetwork(&e, r.elapsed)
		r.last.at = s.usage.found.Time
	}
	if at == len(r.containers)-1 {
		s.compareMemory(r.elapsed)
	}
}

// countStrangers counts collections with unknown containers. A single one may be a container that
// was created after the state files were read.
func (r *reported) countStrangers(unknown int) {
	r.strangers, r.unknown = r.strangers+1, unknown
	if unknown == 0 {
		r.strangers = 0
	}
}

// takeCPU splits the host's figure.
func (s *sandbox) takeCPU(e *verify.Event, elapsed time.Duration) {
	u, r := &s.usage, &s.usage.reported
	cpu, ok := u.found.Get(host.CPU)
	if !ok {
		return
	}
	r.claims = r.claims[:0]
	for i, c := range s.facts.Containers[:len(r.containers)] {
		r.claims = append(r.claims, claim{id: c.ID, name: containerName(c), cpu: e.CPU[i]})
	}
	reading := reading{at: u.found.Time, since: s.facts.CreatedAt, host: cpu, cores: s.cores(), restored: s.facts.Restored,
		containers: r.claims, unknown: e.UnknownCPU}
	g, comparable := r.split.add(reading)
	waited := s.waited(elapsed)
	if comparable {
		r.comparisons[ofCPU].add(observeCPU(elapsed, g, waited), leastCompared[ofCPU])
	}
}

// waited returns the time since the last collection for which the sandbox may have waited for a CPU:
// what its limit took, and on each core the time for which anything on the node waited.
func (s *sandbox) waited(elapsed time.Duration) float64 {
	r := &s.usage.reported
	throttled, _ := s.usage.found.Get(host.Throttled)
	now := s.inventory.table.collector.waiting
	waited := float64(max(0, throttled-r.last.throttled)) + float64(s.cores())*float64(now.since(r.last.waiting, elapsed))
	r.last.throttled, r.last.waiting = throttled, now
	return waited
}

// waiting is the time for which any task of the node has waited for a CPU.
type waiting struct {
	total time.Duration
	known bool
}

// since returns how much of the time since an earlier value tasks may have waited.
func (w waiting) since(earlier waiting, elapsed time.Duration) time.Duration {
	if !w.known || !earlier.known {
		return elapsed
	}
	return min(elapsed, max(0, w.total-earlier.total))
}

// cores returns the number of the sandbox's cores.
func (s *sandbox) cores() int {
	for _, p := range s.facts.Metadata {
		if n, err := strconv.Atoi(p.Value); p.Name == "numcores" && err == nil && n > 0 {
			return n
		}
	}
	return runtime.NumCPU()
}

// takeNetwork compares the bytes that the sandbox's network stack and its interfaces have sent.
func (s *sandbox) takeNetwork(e *verify.Event, elapsed time.Duration) {
	r, last := &s.usage.reported, s.usage.reported.last
	r.last.sent, r.last.claimSent, r.last.interfaces = 0, e.Sent, len(s.usage.found.Interfaces) > 0
	for i := range s.usage.found.Interfaces {
		r.last.sent += s.usage.found.Interfaces[i].Counters[host.TransmitBytes]
	}
	if !r.last.interfaces || !last.interfaces || r.last.sent < last.sent {
		return
	}
	claimed := float64(max(0, e.Sent-last.claimSent))
	r.comparisons[ofNetwork].add(observeNetwork(elapsed, float64(r.last.sent-last.sent), claimed), leastCompared[ofNetwork])
}

// compareMemory compares the memory of all containers with the sandbox's.
func (s *sandbox) compareMemory(elapsed time.Duration) {
	r := &s.usage.reported
	measured, ok := s.usage.found.Get(host.Memory)
	if !ok || !r.complete() {
		return
	}
	sum := 0.0
	for _, bytes := range r.memory {
		sum += float64(bytes)
	}
	r.comparisons[ofMemory].add(observeMemory(elapsed, float64(measured), sum), leastCompared[ofMemory])
}

// complete reports whether the sandbox has reported the memory of all its containers.
func (r *reported) complete() bool { return r.known && !slices.Contains(r.memory, verify.NotReported) }

// fail records why the sandbox has not reported all.
func (r *reported) fail(f *failure.Failure) {
	if r.failure == nil {
		r.failure = f
	}
}
