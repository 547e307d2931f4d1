package collect

import (
	"errors"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/state"
)

// A presence says where the process of a sandbox is.
type presence int

const (
	ended     presence = iota // nowhere
	visible                   // in this PID namespace, as a host.Process
	elsewhere                 // in another PID namespace: it has no PID here
)

// clockMargin is how much later than its sandbox a process may begin, by the wall clock, without being suspected of having a reused PID.
const clockMargin = 2 * time.Minute

// locate says where the process of a sandbox is, given what /proc shows for its PID.
//
// A process that is there and that is no younger than its sandbox is taken for the sandbox's; the first query checks that. Otherwise the
// process that listens on the control socket decides. The clock alone proves nothing: after a step of the wall clock, at boot for example,
// every process seems to have begun at another time than the state file says.
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
	case alive && err == nil && peer == facts.PID, alive && errors.Is(err, unix.EAGAIN): // its backlog is full: the first query decides
		return visible
	}
	return ended
}

// addressOf returns where a sandbox listens: where its state file says or, if the runtime root is mounted elsewhere, in the root.
func addressOf(facts *state.Sandbox, root string) *control.Address {
	return control.NewAddress(facts.ControlSocket, filepath.Join(root, "runsc-"+facts.ID+".sock"))
}

// Running reports whether the process of a sandbox in the runtime root is running now, without watching it.
func Running(facts *state.Sandbox, root string) bool {
	began, alive := host.Look(facts.PID)
	return locate(facts, addressOf(facts, root), alive, began) != ended
}

// observe begins to watch the sandbox's process, or finds that it has none that can be watched.
func (s *sandbox) observe() {
	s.process = s.inventory.table.collector.watcher.Watch(s.facts.PID)
	alive, began := s.process.End() == nil, s.process.Began()
	s.presence = locate(s.facts, s.address, alive, began)
	switch s.presence {
	case ended:
		s.process.Release()
		if alive {
			s.logSuspect(began)
		}
	case elsewhere:
		s.moveElsewhere()
	}
}

func (s *sandbox) running() bool {
	return s.presence == elsewhere || s.presence == visible && s.process.End() == nil
}

// Connected implements control.Query: it checks on every connection that the sandbox's own process listens.
func (q *query) Connected(peer int) *failure.Failure {
	s := q.sandbox
	switch peer {
	case s.facts.PID:
		return nil
	case 0:
		s.moveElsewhere()
		return nil
	}
	return failure.Newf(failure.WrongPeer, "process %d listens on the control socket, and the sandbox is process %d", peer, s.facts.PID)
}

// moveElsewhere records that the sandbox's process is in another PID namespace. The process that has its PID here is another one.
func (s *sandbox) moveElsewhere() {
	s.process.Release()
	s.presence = elsewhere
	t := s.inventory.table
	if !t.foreign {
		t.options.Logger.Error("Sandboxes run in another PID namespace than the server, which cannot see when they end: run the server in the host's "+
			"PID namespace (hostPID: true)", "sandbox", s.facts.ID, "pid", s.facts.PID)
	}
	t.foreign = true
}

// endUnreachable makes sandboxes that only their control sockets could show to be running count as ended when nothing listens there.
func (t *table) endUnreachable() {
	if !t.foreign {
		return
	}
	for _, s := range t.sorted {
		if s.failure != nil && s.failure.Reason == failure.Unreachable {
			s.process.Release()
			s.presence = ended
		}
	}
}

// logSuspect logs that a process seems to be another one than the sandbox's. Both possible causes are worth knowing.
func (s *sandbox) logSuspect(began time.Time) {
	s.inventory.table.options.Logger.Warn("Sandbox counts as ended: nothing of it listens on its control socket, and the process with its PID began "+
		"later than the sandbox. The PID was reused, or the wall clock was set back",
		"sandbox", s.facts.ID, "pid", s.facts.PID, "later_by", began.Sub(s.facts.StartTime).Round(time.Second))
}
