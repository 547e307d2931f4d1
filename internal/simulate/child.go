package simulate

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"
)

// childName is the argv[0] with which this program starts the process of a sandbox. Any program
// that links this package becomes such a process if it is started with that name.
const childName = "simulated-sandbox"

// The file descriptors of such a process: the socket, and a pipe that it closes when it listens, or
// to which it writes an error.
const (
	childSocket = 3 + iota
	childReport
)

// The process that the state file names has to call listen, since the kernel tells clients the PID
// of the process that did. After that, the parent process serves the socket, and the child executes
// a program that waits.
func init() {
	if os.Args[0] != childName {
		return
	}
	err := unix.Listen(childSocket, backlog)
	if err == nil {
		unix.CloseOnExec(childSocket)
		unix.CloseOnExec(childReport)
		err = unix.Exec(os.Args[1], os.Args[1:], nil)
	}
	fmt.Fprint(os.NewFile(childReport, "report"), err)
	os.Exit(1)
}

// A child is the process of a sandbox with OwnProcess: a child process that waits for its exit status.
type child struct {
	cmd     *exec.Cmd
	status  io.WriteCloser
	cgroups []string // directories of its cgroups; none: the cgroups of this process
}

// startChild starts a process that listens on the socket, in the new cgroups and perhaps in a new
// network namespace.
// The kernel kills the process when the thread that started it ends, which is with this program,
// since Go keeps its threads.
func startChild(cgroups []string, ownNetwork bool, socket int) (*child, error) {
	p := &child{cmd: exec.Command("sh", "-c", `read -r status && exit "$status"; exec sleep infinity`)}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if ownNetwork {
		p.cmd.SysProcAttr.Cloneflags = unix.CLONE_NEWNET
	}
	for _, dir := range cgroups {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return nil, errors.Join(err, p.removeCgroups())
		}
		p.cgroups = append(p.cgroups, dir)
	}
	if err := p.start(socket); err != nil {
		return nil, errors.Join(err, p.removeCgroups())
	}
	for _, dir := range cgroups {
		// The same in cgroup versions 1 and 2.
		procs := filepath.Join(dir, "cgroup.procs")
		if err := os.WriteFile(procs, []byte(strconv.Itoa(p.pid())), 0o644); err != nil {
			return nil, errors.Join(fmt.Errorf("move a process into its cgroup: %w", err), p.end())
		}
	}
	return p, nil
}

// start starts the process. When start returns, the process listens on the socket, if there is one.
func (p *child) start(socket int) error {
	if socket == noSocket {
		return p.run()
	}
	copied, err := unix.FcntlInt(uintptr(socket), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return err
	}
	file := os.NewFile(uintptr(copied), "socket")
	defer file.Close()
	report, reporter, err := os.Pipe()
	if err != nil {
		return err
	}
	defer report.Close()
	p.cmd.Args = append([]string{childName, p.cmd.Path}, p.cmd.Args[1:]...)
	p.cmd.Path = "/proc/self/exe"
	p.cmd.ExtraFiles = []*os.File{file, reporter}
	err = errors.Join(p.run(), reporter.Close(), unix.SetNonblock(socket, true)) // os/exec makes the files that it passes blocking
	if err != nil {
		return err
	}
	if text, err := io.ReadAll(report); err != nil || len(text) > 0 {
		return errors.Join(fmt.Errorf("process of a sandbox: %s", text), err, p.cmd.Wait())
	}
	return nil
}

// run starts the program, which reads its exit status.
func (p *child) run() (err error) {
	if p.status, err = p.cmd.StdinPipe(); err != nil {
		return err
	}
	return p.cmd.Start()
}

func (p *child) pid() int { return p.cmd.Process.Pid }

// exit has the process exit with a status, and waits until it is a zombie.
func (p *child) exit(status int) error {
	if _, err := fmt.Fprintln(p.status, status); err != nil {
		return err
	}
	for {
		err := unix.Waitid(unix.P_PID, p.pid(), nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return os.NewSyscallError("waitid", err)
		}
	}
}

// end kills the process, waits for its end, and removes its cgroups.
func (p *child) end() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = p.cmd.Wait() // the error only says that it was killed
	return p.removeCgroups()
}

// removeCgroups removes the cgroups. RemoveAll also works for tests with a plain directory in place
// of a cgroup.
func (p *child) removeCgroups() error {
	var errs []error
	for _, dir := range p.cgroups {
		errs = append(errs, os.RemoveAll(dir))
	}
	return errors.Join(errs...)
}
