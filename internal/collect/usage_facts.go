package collect

import (
	"slices"

	"github.com/sandmeter/sandmeter/internal/claims"
	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// usagePools have the memory of usage in snapshots.
type usagePools struct {
	usages     snapshot.Pool[snapshot.Usage]
	interfaces snapshot.Pool[fact.Interface]
	shares     snapshot.Pool[snapshot.Share]
	figures    snapshot.Pool[fact.Figure]
}

// usageOf returns the usage of a running sandbox, as of its last measurement.
func (c *Collector) usageOf(s *sandbox) *snapshot.Usage {
	u, pools := &s.usage, &c.usages
	now := snapshot.Usage{Reading: u.found, Differences: u.reported.differences()}
	now.Interfaces = pools.interfaces.Copy(u.found.Interfaces)
	if now.Unknown = u.reasons(); u.last != nil && slices.Equal(now.Unknown, u.last.Unknown) {
		now.Unknown = u.last.Unknown
	} else {
		now.Unknown = slices.Clone(now.Unknown)
	}
	now.Absent = now.Unknown[:len(u.found.Absent)]
	u.addShares(&now, &pools.shares)
	u.addDetail(&now, pools)
	u.last = &pools.usages.Copy([]snapshot.Usage{now})[0]
	return u.last
}

// lastUsage returns the usage of a sandbox that has ended: the last counters.
func (s *sandbox) lastUsage() *snapshot.Usage {
	last := &snapshot.Usage{Reading: s.usage.found.WithoutGauges()}
	last.Interfaces = slices.Clone(last.Interfaces)
	s.usage.addShares(last, nil)
	return last
}

// addShares adds the CPU time of containers, if the host's figure of this collection was split.
func (u *usage) addShares(to *snapshot.Usage, pool *snapshot.Pool[snapshot.Share]) {
	if !u.figure(fact.CPU).Known || !u.reported.known {
		return
	}
	all, none := u.reported.tally.Shares()
	shares := make([]snapshot.Share, 0, 8) // more of them take an allocation
	for _, share := range all {
		shares = append(shares, snapshot.Share{ID: share.ID, Name: share.Name, CPU: share.CPU})
	}
	to.Unattributed, to.Shares = fact.Of(none, true), pool.Copy(shares)
}

// addDetail adds the memory and the processes of containers.
func (u *usage) addDetail(to *snapshot.Usage, pools *usagePools) {
	r := &u.reported
	if !r.detailed {
		return
	}
	to.Processes = pools.figures.Copy(r.processes)
	division := claims.Incomplete
	if u.figure(fact.Memory).Known {
		division = claims.DivisionOf(r.claims, r.mounted)
	}
	if division == claims.Incomplete {
		return
	}
	var memory []fact.Figure
	for _, bytes := range claims.Divide(u.figure(fact.Memory).Value, r.claims) {
		memory = append(memory, fact.Of(bytes, true))
	}
	to.Memory, to.EqualMemory = memory, division == claims.Equal
}

// differences returns the differences between the sandbox's claims and the host's figures.
func (r *reported) differences() snapshot.Differences {
	ratio := func(of claims.Subject) snapshot.Ratio {
		v := r.tally.Verdict(of)
		return snapshot.Ratio{Value: v.Ratio, Known: v.Known}
	}
	return snapshot.Differences{CPU: ratio(claims.CPU), Memory: ratio(claims.Memory), NetworkTransmit: ratio(claims.Network)}
}
