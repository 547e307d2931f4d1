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

// The PID in a state file belongs to the PID namespace in which runsc ran. If the node itself is a
// container, the same number is an unrelated process in the server's namespace, or none. So the PID is
// only a hint. The process of a sandbox is the one that listens on its control socket, if the kernel
// reports that PID for it in one of its PID namespaces. Until that is proven, the server reads nothing
// about a process and ignores its end.

// A sighting is the result of looking for the process of a sandbox.
type sighting struct {
	presence presence
	listener control.Listener // if visible; the caller owns the pidfd
	pids     []int            // of the process, from this namespace to its own
	level    int              // the index in pids of the PID in the state file
	presumed bool             // no connection has confirmed the process: its backlog is full
	why      *failure.Failure // if unproven
}

// A resemblance reports whether the process with a PID in this namespace looks like the kernel of a
// sandbox in a runtime root. The root may have another path in a container; certain rejects a root that
// cannot be compared.
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

// prove checks the process that listens. Its pidfd was opened before its PIDs are read here, so if the
// process is still alive afterward, they are its own.
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

// levelOf returns the index at which a process has a PID, or -1. The last entry is ignored: each
// sandbox runs in its own PID namespace, in which its PID is 1. A process without a namespace of its
// own matches only by its PID here.
func levelOf(pids []int, pid int) int {
	return slices.Index(pids[:max(len(pids)-1, min(len(pids), 1))], pid)
}

// presume checks a sandbox that accepts no connection because the backlog of its control socket is
// full: it has stopped, and something listens. Its process counts if everything that is visible from
// outside matches. The next connection confirms it.
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
// or, if the root has no such socket, the path in the state file. runsc uses /run, /var/run, or /tmp if
// the path in the root would be too long. Any other path is ignored, because a copied state file
// names the socket of another sandbox.
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

// clockMargin is the maximum difference between the start of a process, by the wall clock, and the
// start time in the state file.
const clockMargin = 2 * time.Minute

// isZombie reports whether a zombie with the PID in the state file is the sandbox's process and not a
// later one: it started when the sandbox did. A zombie has no socket to connect to.
func isZombie(facts *state.Sandbox, p *host.Process) bool {
	_, known := p.Exit()
	began := p.Began()
	return known && len(host.NamespacePIDs(facts.PID)) <= 2 && !began.IsZero() && began.Sub(facts.StartTime).Abs() <= clockMargin
}
