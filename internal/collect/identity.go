package collect

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/state"
)

// The PID in a state file is from the PID namespace in which runsc ran. That may be another one than
// the server's, as with a node in a container, and then the number is another process here, or none.
// So the PID is only a hint. The process of a sandbox is the one that listens on its control socket,
// if the kernel says that it has the PID in one of its PID namespaces. Nothing is read about a
// process, and its end means nothing, before that is proven.

// A sighting is what is known about the process of a sandbox.
type sighting struct {
	presence presence
	listener control.Listener // if visible; the caller owns the pidfd
	pids     []int            // of the process, from this namespace to its own
	level    int              // the index in pids of the PID in the state file
	presumed bool             // the process was not asked, because the backlog of its socket is full
	why      *failure.Failure // if unproven
}

// A resemblance reports whether the process with a PID in this namespace looks like the kernel of a
// sandbox in a runtime root. certain means that a root that cannot be compared does not fit: in a
// container, it may have another path.
type resemblance func(pid int, id, root string, certain bool) bool

// locate finds the process of a sandbox in a runtime root.
func (looksLike resemblance) locate(facts *state.Sandbox, root string, address *control.Address) sighting {
	if facts.PID <= 0 {
		return sighting{presence: ended}
	}
	switch listener, err := address.Listener(); {
	case err == nil && listener.PID == 0:
		return sighting{presence: elsewhere}
	case err == nil:
		return prove(facts, listener)
	case errors.Is(err, unix.EAGAIN):
		return looksLike.presume(facts, root)
	case lacksResources(err):
		return unknownProcess(failure.Internal, "cannot connect to the control socket: %w", err)
	case looksLike(facts.PID, facts.ID, root, false):
		reason := failure.Unreachable
		if errors.Is(err, fs.ErrPermission) {
			reason = failure.PermissionDenied
		}
		return unknownProcess(reason, "cannot connect to the control socket: %w", err)
	}
	return sighting{presence: ended}
}

// prove returns the sighting of the process that listens. Its pidfd was made before its PIDs are read
// here, so if it is still alive then, they are its own.
func prove(facts *state.Sandbox, l control.Listener) sighting {
	pids := host.NamespacePIDs(l.PID)
	level := levelOf(pids, facts.PID)
	hasEnded := l.PIDFD >= 0 && host.Ended(l.PIDFD)
	if level >= 0 && !hasEnded {
		return sighting{presence: visible, listener: l, pids: pids, level: level}
	}
	if l.PIDFD >= 0 {
		unix.Close(l.PIDFD)
	}
	if hasEnded {
		return sighting{presence: ended}
	}
	return unknownProcess(failure.WrongPeer, "process %d listens on the control socket, and it is not process %d in any PID namespace", l.PID, facts.PID)
}

// levelOf returns the index of a PID among those of a process, or -1. The last one does not count: a
// sandbox has a PID namespace of its own, in which nothing outside knows it. A process that has none
// counts only by its PID here.
func levelOf(pids []int, pid int) int {
	return slices.Index(pids[:max(len(pids)-1, min(len(pids), 1))], pid)
}

// presume returns the sighting of a sandbox that cannot be asked, because the backlog of its control
// socket is full: it has stopped. Something listens. The process counts as the sandbox's if all that
// can be seen of it fits, and the next connection proves it.
func (looksLike resemblance) presume(facts *state.Sandbox, root string) sighting {
	if looksLike(facts.PID, facts.ID, root, true) {
		l := control.Listener{PID: facts.PID, PIDFD: -1}
		return sighting{presence: visible, listener: l, pids: host.NamespacePIDs(facts.PID), presumed: true}
	}
	return unknownProcess(failure.Stalled, "the backlog of the control socket is full, so it is not known which process listens")
}

func unknownProcess(reason failure.Reason, format string, args ...any) sighting {
	return sighting{presence: unproven, why: failure.Newf(reason, format, args...)}
}

// resembles is the resemblance to runsc: the process was started here, in one PID namespace of its
// own, and its command line has the sandbox's ID and the runtime root. A process can change its
// command line.
func resembles(pid int, id, root string, certain bool) bool {
	pids := host.NamespacePIDs(pid)
	if len(pids) == 0 || len(pids) > 2 || pids[0] != pid {
		return false
	}
	args := host.CommandLine(pid)
	if len(args) == 0 || args[len(args)-1] != id || !slices.Contains(args, "boot") {
		return false
	}
	for _, arg := range args {
		if value, isRoot := strings.CutPrefix(arg, "--root="); isRoot {
			same, comparable := sameDir(value, root)
			return same || !comparable && !certain
		}
	}
	return false
}

// sameDir reports whether two paths are of the same directory, and whether that can be told.
func sameDir(a, b string) (same, comparable bool) {
	if filepath.Clean(a) == filepath.Clean(b) {
		return true, true
	}
	first, firstErr := os.Stat(a)
	second, secondErr := os.Stat(b)
	if firstErr != nil || secondErr != nil {
		return false, false
	}
	return os.SameFile(first, second), true
}

// addressOf returns the address of a sandbox's control socket: its usual name in the runtime root
// or, if the root has none, the path in the state file. That path counts only if it is one that runsc
// uses when the path in the root would be too long, because a state file that somebody copied to
// another root has the path of another sandbox.
func addressOf(facts *state.Sandbox, root string) *control.Address {
	name := "runsc-" + facts.ID + ".sock"
	recorded := filepath.Clean(facts.ControlSocket)
	isUsual := filepath.Base(recorded) == name && slices.Contains([]string{"/run", "/var/run", "/tmp"}, filepath.Dir(recorded))
	if !isUsual {
		recorded = ""
	}
	return control.NewAddress(filepath.Join(root, name), recorded)
}

// Running reports whether a sandbox in the runtime root is running now, without watching it, and the
// PID of its process in this namespace, which is 0 if it is not known.
func Running(facts *state.Sandbox, root string) (pid int, running bool) {
	found := resemblance(resembles).locate(facts, root, addressOf(facts, root))
	if found.presence != visible {
		return 0, found.presence != ended
	}
	if found.listener.PIDFD >= 0 {
		unix.Close(found.listener.PIDFD)
	}
	return found.listener.PID, true
}

// clockMargin is how far the beginning of a process, by the wall clock, may be from that of its
// sandbox in the state file.
const clockMargin = 2 * time.Minute

// isZombie reports whether the zombie that has the PID in the state file is the sandbox's, and not a
// later one: it began when the sandbox did, in a PID namespace of its own. Nothing listens for a
// zombie.
func isZombie(facts *state.Sandbox, p *host.Process) bool {
	_, known := p.Exit()
	began := p.Began()
	return known && len(host.NamespacePIDs(facts.PID)) <= 2 && !began.IsZero() && began.Sub(facts.StartTime).Abs() <= clockMargin
}
