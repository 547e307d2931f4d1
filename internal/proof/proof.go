// Package proof finds the process of a sandbox, and proves that it is the sandbox's.
//
// The PID in a state file belongs to the PID namespace in which runsc ran. If the node itself is a
// container, the same number is an unrelated process in the server's namespace, or none. So the PID is
// only a hint. The process of a sandbox is the one that listens on its control socket, if the kernel
// reports that PID for it in one of its PID namespaces. Until that is proven, the server reads nothing
// about a process and ignores its end.
package proof

import (
	"errors"
	"io/fs"
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

// A Presence tells where the process of a sandbox runs.
type Presence int

const (
	Ended     Presence = iota // it has ended
	Visible                   // in this PID namespace or one below it
	Unproven                  // something runs or listens, but it is not proven to be the sandbox
	Elsewhere                 // in another PID namespace: it has no PID here
)

// A Sighting is the result of looking for the process of a sandbox.
type Sighting struct {
	Presence Presence
	Listener control.Listener // if visible; the caller owns the pidfd
	PIDs     []int            // of the process, from this namespace to its own
	Level    int              // the index in pids of the PID in the state file
	Presumed bool             // no connection has confirmed the process: its backlog is full
	Why      *failure.Failure // if unproven
}

// A Resemblance reports whether the process with a PID in this namespace looks like the kernel of a
// sandbox. certain rejects a command line whose runtime root cannot be compared: it may have another
// path in a container.
type Resemblance func(pid int, facts *state.Sandbox, certain bool) bool

// Locate finds the process of a sandbox.
func (looksLike Resemblance) Locate(facts *state.Sandbox, address *control.Address) Sighting {
	if facts.PID <= 0 {
		return Sighting{Presence: Ended}
	}
	switch listener, err := address.Listener(control.Dir(facts.Dir)); {
	case err == nil && listener.PID == 0:
		return Sighting{Presence: Elsewhere}
	case err == nil:
		return prove(facts, listener)
	case errors.Is(err, unix.EAGAIN):
		return looksLike.presume(facts)
	case LacksResources(err):
		return Unknown(failure.Internal, "cannot connect to the control socket: %w", err)
	case errors.Is(err, fs.ErrPermission):
		return Unknown(failure.PermissionDenied, "cannot connect to the control socket %q: %w (run the server as root, or give it CAP_DAC_OVERRIDE)", address.Path(), err)
	case looksLike(facts.PID, facts, false):
		return unreachableProcess(facts, address, err)
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, fs.ErrNotExist):
		return Sighting{Presence: Ended}
	default:
		return unreachableProcess(facts, address, err)
	}
}

// unreachableProcess is the sighting of a sandbox to whose control socket no connection can be made.
func unreachableProcess(facts *state.Sandbox, address *control.Address, err error) Sighting {
	if facts.ControlSocket == "" {
		return Unknown(failure.Unreachable, "the state file has no control socket path: this runsc release is from 2023 or older, too old for metrics; tried %q: %w",
			address.Path(), err)
	}
	return Unknown(failure.Unreachable, "cannot connect to the control socket %q: %w", address.Path(), err)
}

// prove checks the process that listens. Its pidfd was opened before its PIDs are read here, so if the
// process is still alive afterward, they are its own.
//
// If runsc ran in the server's namespace, the command line of the process has the runtime root, which
// a state file in another root cannot have. A socket outside of the root proves nothing without that.
func prove(facts *state.Sandbox, l control.Listener) Sighting {
	pids := host.NamespacePIDsOf(l.PIDFD)
	if l.PIDFD < 0 {
		pids = host.NamespacePIDs(l.PID)
	}
	if pids == nil && l.PID == facts.PID { // /proc may hide the processes of others
		pids = []int{l.PID}
	}
	found := Sighting{Presence: Visible, Listener: l, PIDs: pids, Level: levelOf(pids, facts.PID)}
	same, comparable := isOfRoot(host.CommandLine(l.PID), facts)
	switch {
	case l.PIDFD >= 0 && host.Ended(l.PIDFD):
		found = Sighting{Presence: Ended}
	case found.Level < 0:
		found = Unknown(failure.WrongPeer, "process %d listens on the control socket, and it is not process %d in any PID namespace", l.PID, facts.PID)
	case found.Level == 0 && comparable && !same, l.Fallback && !(found.Level == 0 && same):
		found = Unknown(failure.WrongPeer, "process %d listens on the control socket, and it is not a sandbox of this runtime root", l.PID)
	}
	if found.Presence != Visible && l.PIDFD >= 0 {
		unix.Close(l.PIDFD)
	}
	return found
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
func (looksLike Resemblance) presume(facts *state.Sandbox) Sighting {
	fd, err := unix.PidfdOpen(facts.PID, 0)
	if err != nil {
		fd = -1
	}
	if looksLike(facts.PID, facts, true) {
		l := control.Listener{PID: facts.PID, PIDFD: fd}
		return Sighting{Presence: Visible, Listener: l, PIDs: host.NamespacePIDs(facts.PID), Presumed: true}
	}
	if fd >= 0 {
		unix.Close(fd)
	}
	return Unknown(failure.Stalled, "the backlog of the control socket is full, so it is not known which process listens")
}

// Unknown is the sighting of a process that is not proven.
func Unknown(reason failure.Reason, format string, args ...any) Sighting {
	return Sighting{Presence: Unproven, Why: failure.Newf(reason, format, args...)}
}

// Resembles is the Resemblance to runsc: the process was started here, in one PID namespace of its
// own, and its command line has the sandbox's ID and the runtime root. A process can change its
// command line.
func Resembles(pid int, facts *state.Sandbox, certain bool) bool {
	pids, args := host.NamespacePIDs(pid), host.CommandLine(pid)
	if len(pids) != KernelLevels || pids[0] != pid || len(args) == 0 || args[len(args)-1] != facts.ID || !slices.Contains(args, "boot") {
		return false
	}
	same, comparable := isOfRoot(args, facts)
	return same || !comparable && !certain
}

// KernelLevels is the number of PID namespaces of a sandbox that runsc has started in the server's: this
// one and its own.
const KernelLevels = 2

// isOfRoot reports whether a command line has the runtime root of a sandbox, and whether that can be
// told. Directories are compared rather than paths, because the root may be replaced at any time.
func isOfRoot(args []string, facts *state.Sandbox) (same, comparable bool) {
	for _, arg := range args {
		root, isRoot := strings.CutPrefix(arg, "--root=")
		if !isRoot || !filepath.IsAbs(root) || facts.Dir == (state.Dir{}) {
			continue
		}
		var st unix.Stat_t
		if unix.Stat(root, &st) != nil {
			return false, false
		}
		return state.Dir{Device: st.Dev, Inode: st.Ino} == facts.Dir, true
	}
	return false, false
}

// AddressOf returns the address of a sandbox's control socket: its usual name in the runtime root
// or, if the root has no such socket, the path in the state file. runsc uses /run, /var/run, or /tmp
// where it cannot make a socket in the root. Any other path is ignored, because a copied state file
// names the socket of another sandbox.
func AddressOf(facts *state.Sandbox, root string) *control.Address {
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
	found := Resemblance(Resembles).Locate(facts, AddressOf(facts, root))
	if found.Presence != Visible {
		return 0, found.Presence != Ended
	}
	if found.Listener.PIDFD >= 0 {
		unix.Close(found.Listener.PIDFD)
	}
	return found.Listener.PID, true
}

// clockMargin is the maximum difference between the start of a process, by the wall clock, and the
// start time in the state file.
const clockMargin = 2 * time.Minute

// IsZombie reports whether a zombie with the PID in the state file is the sandbox's process and not a
// later one: it started when the sandbox did, and is in as many PID namespaces as the kernel of a
// sandbox. A zombie has no socket to connect to.
func IsZombie(facts *state.Sandbox, p *host.Process, levels int) bool {
	_, known := p.Exit()
	began := p.Began()
	return known && len(host.NamespacePIDs(facts.PID)) == levels && !began.IsZero() && began.Sub(facts.StartTime).Abs() <= clockMargin
}

// LacksResources reports whether the server lacked file descriptors or memory, so that the error is
// not about a runtime root or a sandbox.
func LacksResources(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM)
}
