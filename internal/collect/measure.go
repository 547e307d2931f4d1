package collect

import (
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/state"
)

// measure measures the sandbox if it runs, and the end is not reached.
func (l *life) measure(now, end time.Time) {
	u := &l.usage
	u.late = false
	u.reported.begin()
	switch l.now() {
	case running, orphaned:
		l.measureUntil(now, end)
	case elsewhere:
		u.close()
		u.found.Miss(now, fact.OtherNamespace)
	case unproven:
		u.close()
		u.found.Miss(now, fact.IdentityUnproven)
	} // the end has been measured, or is being measured
}

// measureUntil measures the sandbox unless the end of the time for that is reached.
func (l *life) measureUntil(now, end time.Time) {
	if now.After(end) {
		l.usage.late = true
		l.usage.found.Miss(now, fact.OutOfTime)
		return
	}
	l.readAccount(now)
}

// readAccount measures the sandbox with its account, which it opens if there is none. If the sandbox has
// just ended, what was measured last stays.
func (l *life) readAccount(now time.Time) {
	if l.usage.account.Load() == nil {
		l.usage.account.Store(l.meter.Open(l.subject()))
	}
	scratch := &l.scratch
	l.usage.account.Load().Read(scratch, now)
	if !scratch.Empty() {
		l.usage.found, *scratch = *scratch, l.usage.found
	}
	if l.usage.isShared() {
		l.repeatUntilAlone()
	}
}

// subject returns the sandbox's place on the host, from its state files.
func (l *life) subject() host.Subject {
	root := &l.facts.Containers[0].Spec
	subject := host.Subject{
		ID:          l.facts.ID,
		PID:         l.process.PID(),
		Level:       l.level,
		Alive:       l.process.Alive,
		End:         l.process.End,
		Cgroup:      root.Cgroup(),
		PodUID:      root.PodUID,
		New:         l.origin == fresh,
		WatchFile:   l.watcher.WatchFile,
		HostNetwork: slices.Contains(l.facts.Metadata, state.Pair{Name: "network", Value: "host"}),
	}
	for _, c := range l.facts.Containers {
		subject.Gofers = append(subject.Gofers, c.GoferPID)
	}
	return subject
}

// measureFirst measures a sandbox that has not been measured, so that the figures of its cgroup can
// be read at its end. Until it was the only user of its cgroup, it has not been measured.
func (l *life) measureFirst() {
	switch {
	case l.meter == nil, l.now() != running:
	case l.usage.account.Load() != nil:
		l.repeat()
	default:
		l.readAccount(l.clock.Now())
	}
}

// repeat measures the sandbox again if its cgroup was shared and is not any more. It reports whether
// the cgroup is still shared.
func (l *life) repeat() (shared bool) {
	account := l.usage.account.Load()
	if account == nil || !l.usage.isShared() || l.now() != running && l.now() != orphaned {
		return false
	}
	if account.StillShared() {
		return true
	}
	l.usage.reported.begin() // its report belongs to another reading
	l.readAccount(l.clock.Now())
	return l.usage.isShared()
}
