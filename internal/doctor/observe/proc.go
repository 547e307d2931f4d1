package observe

import (
	"bytes"
	"cmp"
	"context"
	"debug/buildinfo"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/doctor"
	"github.com/sandmeter/sandmeter/internal/registration"
)

// Limits on what is read of processes.
const (
	maxProcesses = 1 << 17
	maxFile      = 1 << 20 // bytes of a command line, an environment or a configuration file
	maxServers   = 8
	maxRunscs    = 10_000
	maxPrograms  = 64 // program files of runsc that are opened for their build date
)

// A proc is a process, by its command line.
type proc struct {
	pid  int
	args []string
}

// name returns the base name of the program in the command line.
func (p *proc) name() string { return filepath.Base(p.args[0]) }

// A namedRoot is a runtime root in a command line.
type namedRoot struct {
	path   string
	pid    int
	origin doctor.Origin
}

// processes reads all command lines.
func (n *node) processes(ctx context.Context) {
	n.observed.Self = n.process(os.Getpid())
	entries, err := os.ReadDir(n.host("proc"))
	if err != nil {
		n.incomplete("processes: " + err.Error())
		return
	}
	programs := make(map[string]time.Time)
	seen := 0
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		if seen++; seen > maxProcesses || ctx.Err() != nil {
			n.incomplete("there are too many processes to look at all of them")
			break
		}
		if p := n.commandLine(pid); p != nil {
			n.classify(p, programs)
		}
	}
	n.nameRunscs()
	slices.SortFunc(n.observed.Runscs, func(a, b doctor.Runsc) int { return cmp.Compare(a.PID, b.PID) })
}

// commandLine returns a process, or nil if it has ended or has no command line.
func (n *node) commandLine(pid int) *proc {
	data, err := readFile(n.proc(pid, "cmdline"))
	if err != nil || len(data) == 0 {
		return nil
	}
	return &proc{pid, strings.Split(strings.TrimSuffix(string(data), "\x00"), "\x00")}
}

func (n *node) proc(pid int, name string) string {
	return filepath.Join(n.HostRoot, "proc", strconv.Itoa(pid), name)
}

// classify takes note of a process that matters.
func (n *node) classify(p *proc, programs map[string]time.Time) {
	getenv, envErr := n.environment(p.pid)
	settings, isServer, err := n.ParseServer(p.args, getenv)
	switch {
	case isServer:
		if why := n.foreign(p); why != "" {
			n.untrusted(doctor.UntrustedServer{PID: p.pid, Why: why})
			return
		}
		n.server(p, settings, errors.Join(err, envErr))
		n.paths[p.pid] = getenv("PATH")
	case strings.HasPrefix(p.name(), "runsc"):
		n.runsc(p, programs)
	case p.name() == "kubelet":
		n.kubeletsFound = append(n.kubeletsFound, *p)
	}
}

// runsc takes note of a process of runsc.
func (n *node) runsc(p *proc, programs map[string]time.Time) {
	command := slices.IndexFunc(p.args[1:], func(arg string) bool { return !strings.HasPrefix(arg, "-") })
	if command < 0 {
		return
	}
	flags, rest := p.args[1:1+command], p.args[1+command:]
	if root := flagValue(flags, "root"); filepath.IsAbs(root) {
		n.named = append(n.named, namedRoot{root, p.pid, doctor.OfProcess})
	}
	sandbox := startedSandbox{flagValue(flags, "root"), rest[len(rest)-1]}
	if rest[0] == "gofer" && len(n.gofers) < maxRunscs && n.foreignUser(p.pid) == "" {
		n.gofers[sandbox], _ = os.Readlink(n.proc(p.pid, "exe"))
	}
	if rest[0] != "boot" || len(n.observed.Runscs) == maxRunscs {
		return
	}
	n.started[p.pid] = sandbox
	r := doctor.Runsc{PID: p.pid, FinalMetricsLog: flagValue(flags, "final-metrics-log")}
	if program, err := os.Readlink(n.proc(p.pid, "exe")); err == nil {
		r.Program, r.Replaced = registration.RunscOf(program), strings.HasSuffix(program, deleted)
		built, known := programs[program]
		if !known && len(programs) < maxPrograms {
			built = builtAt(n.proc(p.pid, "exe"))
			programs[program] = built
		}
		r.Built = built
	}
	n.observed.Runscs = append(n.observed.Runscs, r)
}

// A startedSandbox is a sandbox in the command lines of its processes.
type startedSandbox struct{ root, id string }

// nameRunscs takes note of the runsc that started each sandbox, which its gofer still runs. The kernel
// of the sandbox may be in another directory.
func (n *node) nameRunscs() {
	for i := range n.observed.Runscs {
		r := &n.observed.Runscs[i]
		if program := n.gofers[n.started[r.PID]]; program != "" && r.Program != "" {
			r.Program = program
		}
	}
}

// deleted is what the kernel appends to the path of a file that was removed.
const deleted = " (deleted)"

// server takes note of the process of a server.
func (n *node) server(p *proc, settings doctor.Settings, err error) {
	if len(n.observed.Servers) == maxServers {
		n.incomplete(fmt.Sprintf("there are more than %d servers", maxServers))
		return
	}
	s := doctor.Server{PID: p.pid, Process: n.process(p.pid), Settings: settings}
	if err != nil {
		s.SettingsErr = err.Error()
	}
	for _, root := range settings.Roots {
		n.named = append(n.named, namedRoot{root, p.pid, doctor.OfServer})
	}
	n.observed.Servers = append(n.observed.Servers, s)
}

// environment returns a lookup function for the environment of a process. If the environment is not
// readable, it has no variables.
func (n *node) environment(pid int) (getenv func(name string) string, err error) {
	data, err := readFile(n.proc(pid, "environ"))
	return func(name string) string {
		for _, pair := range bytes.Split(data, []byte{0}) {
			if value, ok := bytes.CutPrefix(pair, []byte(name+"=")); ok {
				return string(value)
			}
		}
		return ""
	}, err
}

// process returns what the kernel tells about a process.
func (n *node) process(pid int) doctor.Process {
	p := doctor.Process{PID: pid}
	status, err := readFile(n.proc(pid, "status"))
	if err != nil {
		return p
	}
	p.Known = true
	for line := range strings.Lines(string(status)) {
		switch fields := strings.Fields(line); {
		case len(fields) > 2 && fields[0] == "Uid:":
			p.UID, _ = strconv.Atoi(fields[2]) // effective
		case len(fields) > 1 && fields[0] == "CapEff:":
			p.Capabilities, _ = strconv.ParseUint(fields[1], 16, 64)
		}
	}
	p.OpenFiles = n.openFiles(pid)
	p.PIDNamespace = n.namespace(pid, "pid")
	program, _ := os.Readlink(n.proc(pid, "exe"))
	p.Replaced = strings.HasSuffix(program, deleted)
	return p
}

// openFiles returns the limit on open files; 0: not known.
func (n *node) openFiles(pid int) uint64 {
	limits, _ := readFile(n.proc(pid, "limits"))
	for line := range strings.Lines(string(limits)) {
		if rest, ok := strings.CutPrefix(line, "Max open files"); ok {
			soft, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
			limit, _ := strconv.ParseUint(soft, 10, 64)
			return limit
		}
	}
	return 0
}

// namespace returns the inode of a namespace of a process; 0: not known.
func (n *node) namespace(pid int, kind string) uint64 {
	link, _ := os.Readlink(n.proc(pid, "ns/"+kind))
	inode, _ := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(link, kind+":["), "]"), 10, 64)
	return inode
}

// stopped reports whether a process is stopped by a signal or by a debugger.
func (n *node) stopped(pid int) bool {
	stat, _ := readFile(n.proc(pid, "stat"))
	name := bytes.LastIndexByte(stat, ')')
	fields := bytes.Fields(stat[name+1:])
	return name >= 0 && len(fields) > 0 && (fields[0][0] == 'T' || fields[0][0] == 't')
}

// flagValue returns the value of the last flag with the name, in Go's syntax; empty: there is none.
func flagValue(args []string, name string) (value string) {
	for i, arg := range args {
		arg = "-" + strings.TrimLeft(arg, "-")
		switch v, ok := strings.CutPrefix(arg, "-"+name+"="); {
		case ok:
			value = v
		case arg == "-"+name && i+1 < len(args):
			value = args[i+1]
		}
	}
	return value
}

// builtAt returns the date of the gVisor that a program was built from; zero: not known. The date
// is in the version of the module, or is that of the commit.
func builtAt(program string) time.Time {
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return time.Time{}
	}
	for _, m := range append(info.Deps, &info.Main) {
		if date := pseudoVersion.FindStringSubmatch(m.Version); m.Path == "gvisor.dev/gvisor" && date != nil {
			t, _ := time.Parse("20060102150405", date[1])
			return t
		}
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.time" && strings.HasPrefix(info.Main.Path, "gvisor.dev/") {
			t, _ := time.Parse(time.RFC3339, s.Value)
			return t
		}
	}
	return time.Time{}
}

var pseudoVersion = regexp.MustCompile(`[-.](20\d{12})-[0-9a-f]{12}$`)

// readFile reads a regular file of up to maxFile bytes; what is longer is cut off. It does not wait
// for the writer of a pipe.
func readFile(path string) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return readRegular(file)
}

// readRegular is readFile for an open file.
func readRegular(file *os.File) ([]byte, error) {
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, &fs.PathError{Op: "read", Path: file.Name(), Err: errors.New("not a regular file")})
	}
	return io.ReadAll(io.LimitReader(file, maxFile))
}
