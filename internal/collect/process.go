package collect

import (
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/proof"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
)

// sightings are the results of looking for the processes of sandboxes, by their facts.
type sightings map[*state.Sandbox]proof.Sighting

// of returns the result for a sandbox. The caller owns it.
func (s sightings) of(facts *state.Sandbox) proof.Sighting {
	found, looked := s[facts]
	if !looked {
		return proof.Unknown(failure.Unreachable, "nobody has looked for the process yet")
	}
	delete(s, facts)
	return found
}

// close releases the results that nobody has taken.
func (s sightings) close() {
	for _, found := range s {
		if found.Presence == proof.Visible && found.Listener.PIDFD >= 0 {
			unix.Close(found.Listener.PIDFD)
		}
	}
}

// take takes over the result of looking for the process.
func (l *life) take(found proof.Sighting) {
	process := l.watcher.None()
	switch found.Presence {
	case proof.Visible:
		process = l.watcher.WatchHeld(found.Listener.PID, found.Listener.PIDFD)
		if other := l.holders.claim(l, process, len(found.PIDs)); other != nil {
			found = proof.Unknown(failure.WrongPeer, "the process that listens on the control socket is the one of sandbox %s in %s", other.facts.ID, other.home.path)
		}
	case proof.Ended:
		process = l.watcher.Watch(l.facts.PID)
		if process.End() != nil && proof.IsZombie(l.facts, process, l.kernelLevels) && l.holders.claim(l, process, 1) == nil {
			found.Presence = proof.Visible
		}
	}
	if found.Presence != proof.Visible {
		process.Release()
		process = l.watcher.None()
	}
	l.process.Release()
	l.process, l.level, l.presumed, l.unproven = process, found.Level, found.Presumed, found.Why
	l.setPID()
	l.enter(found.Presence)
}

// enter moves the life to the state for the presence of its process.
func (l *life) enter(p proof.Presence) {
	switch p {
	case proof.Visible:
		l.move(running)
		l.watchEnd()
		l.build = nil
	case proof.Unproven:
		l.move(unproven)
	case proof.Elsewhere:
		l.move(elsewhere)
		l.logElsewhere()
	case proof.Ended:
		l.endNow(snapshot.Unknown)
	}
}

// setPID makes the identity have the PID of the process. Snapshots share the identity, so it is copied.
func (l *life) setPID() {
	identity := *l.identity
	identity.PID = l.process.PID()
	l.identity = &identity
}

// distrust drops the process that was presumed to be the sandbox's.
func (l *life) distrust(why *failure.Failure) {
	l.release()
	l.process = l.watcher.None()
	l.last = new(atomic.Pointer[finalReading]) // the end of the other process does not count
	l.presumed, l.unproven = false, why
	l.move(unproven)
	l.usage.found.Miss(l.clock.Now(), fact.IdentityUnproven)
	l.setPID()
}

// release releases the sandbox's process and cgroups.
func (l *life) release() {
	l.holders.disclaim(l)
	l.process.Release()
	l.usage.close()
}

// holders are the lives of processes, by PID.
type holders map[int]*life

// claim reserves a process for a life. It returns the life of another sandbox that already has the
// process, or nil. levels is the number of PID namespaces that the process belongs to. A process without
// its own PID namespace is not reserved: it is not a kernel of runsc, and can serve several simulated
// sandboxes.
func (h holders) claim(l *life, p *host.Process, levels int) (other *life) {
	other = h[p.PID()]
	if other != nil && other != l && !other.isSandbox(l) && other.holds(p) {
		return other
	}
	if levels > 1 {
		h[p.PID()] = l
	}
	return nil
}

// has reports whether a process is reserved for the life.
func (h holders) has(l *life) bool {
	pid := l.process.PID()
	return pid != 0 && h[pid] == l
}

// isSandbox reports whether both are lives of the same sandbox.
func (l *life) isSandbox(other *life) bool {
	return l.home == other.home && l.facts.ID == other.facts.ID
}

// holds reports whether the life's process is the one with the PID of another one, so that both are the
// same process.
func (l *life) holds(p *host.Process) bool {
	return l.process.PID() == p.PID() && (l.process.Alive() || p.End() != nil)
}

// disclaim gives up the process of a life.
func (h holders) disclaim(l *life) {
	if pid := l.process.PID(); h[pid] == l {
		delete(h, pid)
	}
}

// watchEnd has the end of the sandbox's process noted, with the last figures of its cgroup, which
// runsc removes within milliseconds. So the function runs wherever the end is observed, and takes
// none of the collector's locks.
//
// What it notes is of this process: if the sandbox gets another one while the function is under way,
// nobody sees it.
func (l *life) watchEnd() {
	of := l.last
	l.process.FirstAtEnd(func() {
		if account := l.usage.account.Load(); account != nil {
			account.Keep()
		}
	})
	l.process.AtEnd(func() {
		last := &finalReading{at: l.clock.Now()}
		if account := l.usage.account.Load(); account != nil {
			account.Finish(&last.usage, last.at)
			last.oom, last.scope = account.OOMKilled()
		}
		if of.CompareAndSwap(nil, last) {
			l.ends.add(l)
		}
	})
}

// endNow ends a life without a process to watch, with an outcome, unless its end has been noted.
func (l *life) endNow(outcome snapshot.Outcome) {
	if l.state != unregistered { // which is closed already
		l.move(ended)
	}
	if l.last.CompareAndSwap(nil, &finalReading{at: l.clock.Now(), outcome: outcome}) {
		l.ends.add(l)
	}
}

// endsUnreachable ends a life in another PID namespace if nothing listens on its control socket, which is
// the only sign of its end.
func (l *life) endsUnreachable() {
	if l.now() == elsewhere && l.failure != nil && l.failure.Reason == failure.Unreachable {
		l.endNow(snapshot.Unknown)
	}
}

// logElsewhere logs, once per server, that a sandbox's process runs in a PID namespace that the server
// cannot see.
func (l *life) logElsewhere() {
	if !l.foreign {
		l.options.Logger.Error("Sandbox runs in another PID namespace, so the server cannot see when it ends; run the server in the host's "+
			"PID namespace (hostPID: true)", "sandbox", l.facts.ID, "pid", l.facts.PID)
	}
	l.foreign = true
}
