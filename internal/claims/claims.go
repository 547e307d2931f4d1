// Package claims does the arithmetic on a sandbox's claims: the CPU time, memory, and traffic that
// the sandbox reports about itself. No rule can verify a claim, so a claim never replaces a figure of
// the host: it divides the figure, or is compared with it. The package has no clock, no labels, and no
// I/O.
//
// # CPU time
//
// Only the sandbox knows which of its containers used the CPU, and its claims are not counters: they
// fall when processes and containers end. So the host's CPU time is split, and claims are not scaled.
// In each interval, the growth of the host's figure is divided in proportion to the growth of the
// containers' claims, and added to the containers' shares. A share never falls, and all shares add up
// to the host's figure. A sandbox that lies only shifts CPU time between its own containers.
//
//   - If the host's figure grows and no claim does, the growth belongs to no container.
//   - A container that vanishes between two readings keeps its rate for that interval, because the
//     server never sees its last claim.
//   - A restore begins a new baseline, because claims then include the time before the checkpoint.
//   - No container's claim counts for more than all cores could have used.
//   - After readings without claims, the next reading divides the growth of the whole interval.
//   - After the end, the remaining growth belongs to the only container, or to no container if there
//     were several.
//
// # Comparisons
//
// The host is measured moments before the sandbox is queried, so claims are compared over windows of
// ten seconds or more. Honest sandboxes also claim the time during which tasks wait for a CPU, so
// throttling and the pressure on the node's CPUs widen the range for CPU time. Three windows in a row
// outside the range of honest sandboxes are suspicious. So are three readings in a row with
// containers that have no state file.
//
// # Memory
//
// A container's memory is its claim. If the claims of all containers together exceed the host's
// figure, they are reduced in proportion. Some sandboxes only divide their memory by the number of
// containers; see [Divide].
package claims

import (
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// A Container has the claims about a container.
type Container struct {
	ID, Name string
	CPU      fact.Figure // nanoseconds
	Memory   fact.Figure // bytes
}

// A Reading has the figures of one collection. CPU time and waiting time are in nanoseconds.
type Reading struct {
	Time     time.Time
	Began    time.Time // when the sandbox was created
	Cores    int       // number of the sandbox's cores
	Restored bool      // the sandbox was restored from a checkpoint

	// Measured on the host.
	CPU       fact.Figure // CPU time of the sandbox
	Throttled fact.Figure // time for which the CPU limit held the sandbox back
	Waiting   fact.Figure // time for which any task of the node has waited for a CPU
	Sent      fact.Figure // bytes sent through the sandbox's network interfaces

	// Claimed by the sandbox.
	Containers  []Container // a container that is missing, or has no CPU time, is gone
	Unknown     int         // number of other containers
	UnknownCPU  int64       // CPU time of all other containers
	ClaimedSent int64       // bytes sent
}

// unknownReadings is the number of readings in a row with unknown containers that make a sandbox
// suspicious. A single one may have a container that was created after the state files were read.
const unknownReadings = 3

// A Tally adds up readings of one sandbox. The zero value is ready. It is not safe for concurrent
// use.
type Tally struct {
	split       split
	comparisons [Subjects]comparison
	last        Reading       // without Containers; zero: none
	elapsed     time.Duration // between the last two readings
	strange     int           // readings in a row with unknown containers
}

// Add adds a reading.
func (t *Tally) Add(r Reading) {
	t.elapsed = 0
	if !t.last.Time.IsZero() {
		t.elapsed = max(0, r.Time.Sub(t.last.Time))
	}
	if t.strange++; r.Unknown == 0 {
		t.strange = 0
	}
	if r.CPU.Known {
		t.addCPU(&r)
	}
	if host := r.Sent.Value - t.last.Sent.Value; r.Sent.Known && t.last.Sent.Known && host >= 0 {
		claimed := max(0, r.ClaimedSent-t.last.ClaimedSent)
		t.comparisons[Network].add(observeNetwork(t.elapsed, float64(host), float64(claimed)), least[Network])
	}
	r.Containers = nil
	t.last = r
}

func (t *Tally) addCPU(r *Reading) {
	waited := t.waited(r)
	if host, claimed, ok := t.split.add(r); ok {
		t.comparisons[CPU].add(observeCPU(t.elapsed, host, claimed, waited), least[CPU])
	}
}

// waited returns the time since the last split for which the sandbox may have waited for a CPU: the
// time that its limit took, and on each core the time for which anything on the node waited.
func (t *Tally) waited(r *Reading) float64 {
	last, waiting := &t.split.last, t.elapsed
	if r.Waiting.Known && last.Waiting.Known {
		waiting = min(waiting, time.Duration(max(0, r.Waiting.Value-last.Waiting.Value)))
	}
	return float64(max(0, r.Throttled.Value-last.Throttled.Value)) + float64(r.Cores)*float64(waiting)
}

// AddMemory adds the sandbox's memory in bytes as measured on the host, and the containers' claims.
// Both belong to the last reading.
func (t *Tally) AddMemory(host fact.Figure, containers []Container) {
	if claimed, complete := sum(containers); host.Known && complete {
		t.comparisons[Memory].add(observeMemory(t.elapsed, float64(host.Value), claimed), least[Memory])
	}
}

// Finish adds the host's CPU time at the end of the sandbox. The growth since the last reading belongs
// to only, the one container that the sandbox has ever had. If only has no ID, there were several, or
// none is known, and the growth belongs to no container. Finish may be called again when the figure
// has grown. It reports whether there are shares.
func (t *Tally) Finish(cpu fact.Figure, only Container) bool {
	if !cpu.Known || t.split.last.Time.IsZero() && only.ID == "" {
		return false
	}
	t.split.finish(cpu.Value, only)
	return true
}

// Shares returns the containers' shares, in the order of first sight, and the CPU time in nanoseconds
// that belongs to no container. The Tally owns the shares and updates them.
func (t *Tally) Shares() (containers []*Share, none int64) { return t.split.shares, t.split.none }

// Verdict compares the claims about a subject with the host's figures.
func (t *Tally) Verdict(of Subject) Verdict { return t.comparisons[of].Verdict }

// Unknown returns the number of unknown containers in the last reading, and whether they are
// suspicious.
func (t *Tally) Unknown() (containers int, suspicious bool) {
	return t.last.Unknown, t.strange >= unknownReadings
}
