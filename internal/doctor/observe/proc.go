package observe

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/doctor"
)

// Limits on reading processes.
const (
	maxProcesses = 1 << 22 // the largest PID
	maxFile      = 256 << 10
	maxSandboxes = 20_000
)

// processes finds the processes of sandboxes and of servers.
func (n *node) processes(ctx context.Context) {
	dir, err := os.Open(n.Proc)
	if err != nil {
		n.incomplete("processes: " + err.Error())
		return
	}
	defer dir.Close()
	names, err := dir.Readdirnames(maxProcesses)
	if err != nil {
		n.incomplete("processes: " + err.Error())
	}
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil && pid != os.Getpid() && ctx.Err() == nil {
			n.process(pid)
		}
	}
	slices.SortFunc(n.Processes, func(a, b doctor.Process) int { return a.PID - b.PID })
}

// process records a process if root or this user started it. The command line of any other process is
// not read: it is in the memory of that process, which can be such that reading it never ends.
func (n *node) process(pid int) {
	s := parseStatus(n.read(pid, "status"))
	program, _ := os.Readlink(n.file(pid, "exe"))
	program = filepath.Base(strings.TrimSuffix(program, " (deleted)"))
	if !n.trusts(pid, s.uids) {
		if isServer(s.name) || strings.HasPrefix(s.name, "runsc") {
			n.ignore(fmt.Sprintf("process %d of user %d, which is named %s", pid, slices.Max(append(s.uids, -1)), s.name))
		}
		return
	}
	if isServer(program) {
		n.server(pid)
	}
	p, isSandbox := parseSandbox(n.read(pid, "cmdline"))
	// A sandbox has a separate PID namespace. With another one in between, its runtime root is in a container.
	if isSandbox && s.levels <= 2 && n.wants(p.Root) && len(n.Processes) < maxSandboxes {
		p.PID = pid
		n.Processes = append(n.Processes, p)
	}
}

// isServer reports whether a program may be a metric server.
func isServer(program string) bool {
	return slices.Contains([]string{"sandmeter", "runsc-metric-server", "runsc"}, program) || strings.HasPrefix(program, "sandmeter-")
}

// overflowUser is the user that runsc gives sandboxes, besides root.
const overflowUser = 65534

// trusts reports whether root or this user started a process. A sandbox may run as nobody in a
// separate user namespace: only the owner of the namespace can have put it there.
func (n *node) trusts(pid int, uids []int) bool {
	if len(uids) == 0 {
		return false
	}
	if !slices.ContainsFunc(uids, func(uid int) bool { return !trustedUser(uid) }) {
		return true
	}
	if slices.ContainsFunc(uids, func(uid int) bool { return uid != overflowUser }) || n.namespace(pid, "user") == n.namespace(os.Getpid(), "user") {
		return false
	}
	fd, err := unix.Open(n.file(pid, "ns/user"), unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(fd)
	owner, err := unix.IoctlGetUint32(fd, unix.NS_GET_OWNER_UID)
	return err == nil && trustedUser(int(owner))
}

func trustedUser(uid int) bool { return uid == 0 || uid == os.Geteuid() }

func (n *node) file(pid int, name string) string {
	return filepath.Join(n.Proc, strconv.Itoa(pid), name)
}

// read returns the beginning of a file of a process.
func (n *node) read(pid int, name string) []byte { return readFile(n.file(pid, name)) }

// readFile returns the beginning of a file of the kernel; nil: it cannot be read.
func readFile(path string) []byte {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil
	}
	defer file.Close()
	data, _ := io.ReadAll(io.LimitReader(file, maxFile))
	return data
}

// namespace returns the inode of a namespace of a process; 0: not known.
func (n *node) namespace(pid int, kind string) uint64 {
	link, _ := os.Readlink(n.file(pid, "ns/"+kind))
	_, number, _ := strings.Cut(link, ":[")
	inode, _ := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 64)
	return inode
}

// A status has what doctor needs of /proc/PID/status.
type status struct {
	name   string
	state  string // a letter
	uids   []int  // real, effective, saved, and of the file system; nil: not known
	levels int    // of PID namespaces in which the process has a PID
}

func parseStatus(data []byte) (s status) {
	for line := range strings.Lines(string(data)) {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case fields[0] == "Name:" && s.name == "":
			s.name = strings.Join(fields[1:], " ")
		case fields[0] == "State:" && s.state == "" && len(fields) > 1:
			s.state = fields[1]
		case fields[0] == "NSpid:":
			s.levels = len(fields) - 1
		case fields[0] == "Uid:" && s.uids == nil:
			for _, field := range fields[1:] {
				uid, err := strconv.Atoi(field)
				if err != nil {
					return status{}
				}
				s.uids = append(s.uids, uid)
			}
		}
	}
	return s
}

// parseSandbox parses the command line of a sandbox: runsc-sandbox [flags] boot [flags] ID.
func parseSandbox(data []byte) (p doctor.Process, ok bool) {
	args := strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")
	command := slices.Index(args, "boot")
	if !strings.HasPrefix(filepath.Base(args[0]), "runsc") || command < 1 || command == len(args)-1 {
		return p, false
	}
	for _, arg := range args[1:command] {
		if root, is := strings.CutPrefix(strings.TrimLeft(arg, "-"), "root="); is {
			p.Root = root
		}
	}
	p.Sandbox = args[len(args)-1]
	return p, filepath.IsAbs(p.Root) && !strings.ContainsAny(p.Sandbox, "/\n") && p.Sandbox != ""
}

// stopped says why a process does not run; empty: it does.
func (n *node) stopped(pid int) string {
	if strings.ContainsAny(parseStatus(n.read(pid, "status")).state, "Tt") {
		return "its process is stopped by a signal or a debugger"
	}
	for line := range strings.Lines(string(n.read(pid, "cgroup"))) {
		parts := strings.SplitN(strings.TrimSpace(line), ":", 3)
		switch {
		case len(parts) < 3:
		case parts[1] == "" && strings.Contains(string(readFile("/sys/fs/cgroup"+filepath.Clean("/"+parts[2])+"/cgroup.events")), "frozen 1"),
			parts[1] == "freezer" && strings.HasPrefix(string(readFile("/sys/fs/cgroup/freezer"+filepath.Clean("/"+parts[2])+"/freezer.state")), "FR"):
			return "its process is frozen by its cgroup"
		}
	}
	return ""
}
