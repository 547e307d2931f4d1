package collect

import (
	"slices"
	"sync/atomic"

	"github.com/sandmeter/sandmeter/internal/claims"
	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// usage has the figures of the host about a sandbox, and the sandbox's claims about itself.
type usage struct {
	account  atomic.Pointer[host.Account] // nil: none is open
	found    fact.Reading                 // in this collection
	late     bool                         // the last collection had no time for the sandbox
	repeated bool                         // it is measured again and again; see repeatUntilAlone
	reported reported

	absent []fact.Reason   // of the next snapshot, reused
	last   *snapshot.Usage // in the last snapshot; nil: none
}

// Reasons why figures are absent that need what the sandbox reports.
const (
	eventFailed  fact.Reason = "event_failed"  // the sandbox did not report them in time
	eventRefused fact.Reason = "event_refused" // its reply breaks a rule, or is an error
)

// reasons returns why figures are absent.
func (u *usage) reasons() []fact.Reason {
	u.absent = append(u.absent[:0], u.found.Absent...)
	switch r := &u.reported; {
	case !u.wanted():
	case r.failure != nil && r.failure.Reason == failure.ReplyRefused:
		u.absent = append(u.absent, eventRefused)
	case r.failure != nil, !r.known:
		u.absent = append(u.absent, eventFailed)
	}
	return u.absent
}

// wanted reports whether to ask the sandbox: whether the host measured something that can be split or
// compared, or the figures are shown as they are.
func (u *usage) wanted() bool {
	return u.figure(fact.CPU).Known || u.figure(fact.Memory).Known || len(u.found.Interfaces) > 0 || u.reported.detailed
}

// isShared reports whether others were in the sandbox's cgroup.
func (u *usage) isShared() bool { return slices.Contains(u.found.Absent, fact.CgroupShared) }

// figure returns a quantity as the host measured it.
func (u *usage) figure(q fact.Quantity) fact.Figure { return fact.Of(u.found.Get(q)) }

// sent returns how many bytes the sandbox has sent through all its interfaces.
func (u *usage) sent() fact.Figure {
	sent := int64(0)
	for i := range u.found.Interfaces {
		sent += u.found.Interfaces[i].Counters[fact.TransmitBytes]
	}
	return fact.Of(sent, len(u.found.Interfaces) > 0)
}

// close releases the file descriptors of the account. The next measurement begins anew.
func (u *usage) close() {
	if account := u.account.Swap(nil); account != nil {
		account.Close()
	}
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
	if r := &u.reported; r.detailed {
		to.Processes = pools.figures.Copy(r.processes)
		to.Memory, to.EqualMemory = claims.Divide(u.figure(fact.Memory), r.claims, r.mounted)
	}
}
