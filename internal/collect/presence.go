package collect

import (
	"sync/atomic"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/failure"
)

// A presence tells where the process of a sandbox runs.
type presence int

const (
	ended     presence = iota // it has ended
	created                   // it has no process yet
	visible                   // in this PID namespace or one below it, as a host.Process
	unproven                  // something runs or listens, but it is not proven to be the sandbox
	elsewhere                 // in another PID namespace: it has no PID here
)

// observe begins to watch the sandbox's process. Call it once for each PID in the state file.
func (s *sandbox) observe() {
	first := s.process == nil
	s.last = new(atomic.Pointer[finalReading])
	s.process = s.inventory.table.collector.watcher.Watch(0) // none
	if s.facts.PID <= 0 && (first || s.presence == created) {
		s.presence = created
		return
	}
	s.identifyProcess()
}

// identifyProcess finds the sandbox's process and watches it.
func (s *sandbox) identifyProcess() {
	watcher, looksLike := s.inventory.table.collector.watcher, s.inventory.table.looksLike
	found := looksLike.locate(s.facts, s.address)
	switch found.presence {
	case visible:
		s.process = watcher.WatchHeld(found.listener.PID, found.listener.PIDFD)
		if other := s.inventory.table.claim(s, len(found.pids)); other != nil {
			found = unknownProcess(failure.WrongPeer, "the process that listens on the control socket is the one of sandbox %s in %s", other.facts.ID, other.inventory.path)
		}
	case ended:
		s.process = watcher.Watch(s.facts.PID)
		if s.process.End() != nil && isZombie(s.facts, s.process, s.inventory.table.kernelLevels) && s.inventory.table.claim(s, 1) == nil {
			found.presence = visible
		}
	}
	if found.presence != visible {
		s.process.Release()
		s.process = watcher.Watch(0)
	}
	s.presence, s.level, s.presumed, s.unproven = found.presence, found.level, found.presumed, found.why
	switch s.presence {
	case visible:
		s.watchEnd()
		s.build = s.identifyBuild()
	case elsewhere:
		s.moveElsewhere()
	case ended:
		s.endNow()
	}
	s.setPID()
}

// identifyUnproven tries again to find the processes of sandboxes that have not been found yet.
func (t *table) identifyUnproven() {
	for _, inv := range t.inventories {
		for _, s := range inv.sorted {
			if s.presence == unproven && s.final() == nil {
				s.identifyProcess()
			}
		}
	}
}

// claim reserves the process of a sandbox. It returns the sandbox that already has the process, or nil.
// levels is the number of PID namespaces that the process belongs to. A process without its own PID
// namespace is not reserved: it is not a kernel of runsc, and can serve several simulated sandboxes.
func (t *table) claim(s *sandbox, levels int) (other *sandbox) {
	pid := s.process.PID()
	other = t.holders[pid]
	isLife := other != nil && other.inventory == s.inventory && other.facts.ID == s.facts.ID
	isHeld := other != nil && other.presence == visible && other.process.PID() == pid && (other.process.Alive() || s.process.End() != nil)
	if isHeld && other != s && !isLife {
		return other
	}
	if levels > 1 {
		t.holders[pid] = s
	}
	return nil
}

// disclaim gives up the sandbox's process.
func (t *table) disclaim(s *sandbox) {
	if pid := s.process.PID(); t.holders[pid] == s {
		delete(t.holders, pid)
	}
}

// running reports whether the sandbox has a process that has not ended, and its state file.
func (s *sandbox) running() bool {
	if s.vanished {
		return false
	}
	switch s.presence {
	case visible:
		return s.process.End() == nil
	case unproven, elsewhere:
		return true
	}
	return false
}

// shown reports whether the sandbox is in snapshots.
func (s *sandbox) shown() bool {
	return !s.dropped && (s.running() || s.inventory.table.options.Linger > 0)
}

// Connected implements control.Query. It checks on every connection that the sandbox's process is
// the listener.
func (q *query) Connected(peer int) *failure.Failure {
	defer q.lock()()
	s := q.sandbox
	switch {
	case s.presence == unproven:
		return s.unproven
	case s.presence == elsewhere && peer == 0:
		return nil
	case s.presence == visible && peer == s.process.PID():
		s.presumed = false
		return nil
	}
	wrong := failure.Newf(failure.WrongPeer, "process %d listens on the control socket instead of process %d of the sandbox", peer, s.process.PID())
	if s.presumed {
		s.distrust(wrong)
	}
	return wrong
}

// distrust drops the process that was presumed to be the sandbox's.
func (s *sandbox) distrust(why *failure.Failure) {
	s.release()
	s.process = s.inventory.table.collector.watcher.Watch(0)
	s.last = new(atomic.Pointer[finalReading]) // the end of the other process does not count
	s.presence, s.presumed, s.unproven = unproven, false, why
	s.usage.found.Miss(time.Now(), fact.IdentityUnproven)
	s.setPID()
}

// setPID makes the identity have the PID of the process. Snapshots share the identity, so it is copied.
func (s *sandbox) setPID() {
	identity := *s.identity
	identity.PID = s.process.PID()
	s.identity = &identity
}

// moveElsewhere records that the sandbox's process runs in a PID namespace that the server cannot see.
func (s *sandbox) moveElsewhere() {
	t := s.inventory.table
	if !t.foreign {
		t.options.Logger.Error("Sandbox runs in another PID namespace, so the server cannot see when it ends; run the server in the host's "+
			"PID namespace (hostPID: true)", "sandbox", s.facts.ID, "pid", s.facts.PID)
	}
	t.foreign = true
}

// endUnreachable marks sandboxes in other PID namespaces as ended if nothing listens on their
// control sockets, which is the only sign of their end.
func (t *table) endUnreachable() {
	if !t.foreign {
		return
	}
	for _, s := range t.sorted {
		if s.presence == elsewhere && s.failure != nil && s.failure.Reason == failure.Unreachable {
			s.presence = ended
			s.endNow()
		}
	}
}
