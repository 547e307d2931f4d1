package collect

import (
	"slices"
	"sync/atomic"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
)

// usage has the figures of the host about a sandbox, and the sandbox's claims about itself.
type usage struct {
	account  atomic.Pointer[host.Account] // nil: none is open
	found    fact.Reading                 // in this collection
	late     bool                         // the last collection had no time for the sandbox
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

// measureShare is the part of the time of a collection that may be spent on measuring. Sandboxes
// that are not reached by then are measured first in the next collection.
const measureShare = 4

// measure measures the selected sandboxes that run, before the first query is sent: a sandbox that is queried
// works, and would show the cost of this very scrape.
func (c *Collector) measure(deadline time.Time) {
	if c.meter == nil {
		return
	}
	c.waiting = fact.Of(c.meter.WaitingForCPU())
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.table.now()
	end := now.Add(time.Until(deadline) / measureShare)
	c.order = append(c.order[:0], c.table.sorted...)
	slices.SortStableFunc(c.order, func(a, b *sandbox) int { return trueFirst(a.usage.late, b.usage.late) })
	for _, s := range c.order {
		if s.selected && s.end == nil {
			c.mu.Unlock() // for the others, since the kernel may let a reader of cgroups wait
			c.mu.Lock()
			s.measure(c.meter, now, end)
			now = c.table.now()
		}
	}
	clear(c.order)
}

// measure measures the sandbox if it runs, and the end is not reached.
func (s *sandbox) measure(meter *host.Meter, now, end time.Time) {
	u := &s.usage
	u.late = false
	u.reported.begin()
	switch {
	case !s.running(): // the end has been measured, or is being measured
	case s.presence == elsewhere:
		u.close()
		u.found.Miss(now, fact.OtherNamespace)
	case s.presence == unproven:
		u.close()
		u.found.Miss(now, fact.IdentityUnproven)
	case now.After(end):
		u.late = true
		u.found.Miss(now, fact.OutOfTime)
	default:
		if u.account.Load() == nil {
			u.account.Store(meter.Open(s.subject()))
		}
		s.readAccount(now)
	}
}

// readAccount measures the sandbox with its account. If it has just ended, what was measured last
// stays.
func (s *sandbox) readAccount(now time.Time) {
	scratch := &s.inventory.table.collector.scratch
	s.usage.account.Load().Read(scratch, now)
	if !scratch.Empty() {
		s.usage.found, *scratch = *scratch, s.usage.found
	}
}

// subject returns what the state files tell about the sandbox's place on the host.
func (s *sandbox) subject() host.Subject {
	root := &s.facts.Containers[0].Spec
	subject := host.Subject{
		ID:          s.facts.ID,
		PID:         s.process.PID(),
		Level:       s.level,
		Alive:       s.process.Alive,
		End:         s.process.End,
		CgroupsPath: root.CgroupsPath,
		PodUID:      root.PodUID,
		HostNetwork: slices.Contains(s.facts.Metadata, state.Pair{Name: "network", Value: "host"}),
	}
	for _, c := range s.facts.Containers {
		subject.Gofers = append(subject.Gofers, c.GoferPID)
	}
	return subject
}
