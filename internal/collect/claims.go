package collect

import (
	"cmp"
	"runtime"
	"slices"
	"strconv"

	"github.com/sandmeter/sandmeter/internal/claims"
	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// takeClaims takes over a reply about the container with an index. The reply about the first one has
// the CPU time of all.
func (l *life) takeClaims(at int, e *verify.Event) {
	r := &l.usage.reported
	r.claims[at].Memory, r.processes[at] = fact.Of(e.Memory, true), fact.Of(e.Processes, true)
	if at == 0 {
		r.known = true
		for i, cpu := range e.CPU {
			r.claims[i].CPU = fact.Of(cpu, cpu != verify.NotReported)
		}
		r.tally.Add(l.reading(e))
	}
	if at == len(r.claims)-1 {
		r.tally.AddMemory(l.usage.figure(fact.Memory), r.claims)
	}
}

// reading returns the figures of the host, and the claims of a reply.
func (l *life) reading(e *verify.Event) claims.Reading {
	u := &l.usage
	return claims.Reading{
		Time: u.found.Time, Began: l.facts.CreatedAt, Cores: l.cores(), Restored: l.facts.Restored,
		CPU: u.figure(fact.CPU), Throttled: u.figure(fact.Throttled), Waiting: l.waiting, Sent: u.sent(),
		Containers: u.reported.claims, Unknown: e.Unknown, UnknownCPU: int64(e.UnknownCPU), ClaimedSent: e.Sent,
	}
}

// cores returns the number of the sandbox's cores.
func (l *life) cores() int {
	for _, p := range l.facts.Metadata {
		if p.Name == "numcores" {
			if n, err := strconv.Atoi(p.Value); err == nil && n > 0 {
				return n
			}
		}
	}
	return runtime.NumCPU()
}

// finishShares brings the shares up to the end of the sandbox, if there are any. Their series stay even
// if the containers were deleted before, as in a pod.
func (l *life) finishShares() {
	r := &l.usage.reported
	r.known = r.tally.Finish(l.usage.figure(fact.CPU), l.onlyContainer()) || r.known
}

// onlyContainer returns the container of a sandbox that has had no other, besides the one that holds
// a pod's namespaces and does nothing. Without an ID, there were several, or none is known.
func (l *life) onlyContainer() (only claims.Container) {
	for _, c := range slices.Concat(l.identity.Containers, l.identity.Deleted) {
		switch {
		case c.Pause:
		case only.ID != "":
			return claims.Container{}
		default:
			only = claims.Container{ID: c.ID, Name: cmp.Or(c.Name, c.ID)}
		}
	}
	return only
}
