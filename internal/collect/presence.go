package collect

import (
	"errors"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/state"
)

// A presence tells where the process of a sandbox runs.
type presence int

const (
	ended     presence = iota // it has ended
	unborn                    // it has no process yet
	visible                   // in this PID namespace, as a host.Process
	elsewhere                 // in another PID namespace: it has no PID here
)

// clockMargin is how much later than its sandbox, by the wall clock, a process may begin before its
// PID is suspected to be reused.
const clockMargin = 2 * time.Minute

// locate decides where the process of a sandbox runs. alive and began describe the process that has
// its PID now. A living process that is not younger than the sandbox is taken for the sandbox's,
// and the first query checks that. Otherwise the process that listens on the control socket
// decides. Start times alone prove nothing: after a step of the wall clock, for example at boot,
// the start time of every process differs from the one in the state file.
func locate(facts *state.Sandbox, address *control.Address, alive bool, began time.Time) presence {
	if facts.PID <= 0 {
		return ended
	}
	suspect := !facts.StartTime.IsZero() && began.Sub(facts.StartTime) > clockMargin
	if alive && !suspect {
		return visible
	}
	switch peer, err := address.Peer(); {
	case err == nil && peer == 0:
		return elsewhere
	case alive && err == nil && peer == facts.PID, alive && errors.Is(err, unix.EAGAIN): // EAGAIN: the backlog is full; the first query decides
		return visible
	}
	return ended
}

// addressOf returns the address of a sandbox's control socket: the path in its state file or, if
// the runtime root is mounted elsewhere, the usual name in the root.
func addressOf(facts *state.Sandbox, root string) *control.Address {
	return control.NewAddress(facts.ControlSocket, filepath.Join(root, "runsc-"+facts.ID+".sock"))
}

// Running reports whether the process of a sandbox in the runtime root is running now, without
// watching it.
func Running(facts *state.Sandbox, root string) bool {
	began, alive := host.Look(facts.PID)
	return locate(facts, addressOf(facts, root), alive, began) != ended
}

// observe begins to watch the sandbox's process, if it runs in this PID namespace.
func (s *sandbox) observe() {
	first := s.process == nil
	s.last = new(atomic.Pointer[lastBreath])
	s.process = s.inventory.table.collector.watcher.Watch(s.facts.PID)
	if first && s.facts.PID <= 0 {
		s.presence = unborn
		return
	}
	alive, began := s.process.End() == nil, s.process.Began()
	s.presence = locate(s.facts, s.address, alive, began)
	if s.presence == ended && !alive && s.isZombie(began) {
		s.presence = visible
	}
	switch s.presence {
	case ended:
		s.process.Release()
		if alive {
			s.logSuspect(began)
		}
		s.endNow()
	case visible:
		s.watchEnd()
	case elsewhere:
		s.moveElsewhere()
	}
}

// isZombie reports whether the process that was a zombie at first sight is the sandbox's, and not a
// later one with its PID: it began when the sandbox did.
func (s *sandbox) isZombie(began time.Time) bool {
	_, known := s.process.Exit()
	return known && !began.IsZero() && began.Sub(s.facts.StartTime).Abs() <= clockMargin
}

// running reports whether the sandbox has a process that has not ended, and its state file.
func (s *sandbox) running() bool {
	return !s.vanished && (s.presence == elsewhere || s.presence == visible && s.process.End() == nil)
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
	switch peer {
	case s.facts.PID:
		return nil
	case 0:
		s.moveElsewhere()
		return nil
	}
	return failure.Newf(failure.WrongPeer, "process %d listens on the control socket instead of process %d of the sandbox", peer, s.facts.PID)
}

// moveElsewhere records that the sandbox's process runs in another PID namespace. The process with
// its PID in this namespace is unrelated.
func (s *sandbox) moveElsewhere() {
	s.process.Release()
	s.presence = elsewhere
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
			s.process.Release()
			s.presence = ended
			s.endNow()
		}
	}
}

// logSuspect logs that the process with the sandbox's PID seems to be unrelated. The line has both
// possible causes, because the server cannot tell which is true.
func (s *sandbox) logSuspect(began time.Time) {
	s.inventory.table.options.Logger.Warn("Sandbox counts as ended: its process does not listen on the control socket, and the process with its PID began "+
		"later than the sandbox (PID reused, or wall clock set forward)",
		"sandbox", s.facts.ID, "pid", s.facts.PID, "later_by", began.Sub(s.facts.StartTime).Round(time.Second))
}
