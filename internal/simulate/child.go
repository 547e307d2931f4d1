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

// childName is the name under which this program begins the process of a sandbox. A program that links this package is such a process when
// it is started under this name.
const childName = "simulated-sandbox"

// The descriptors of such a process: the socket, and a pipe that it closes when it listens, or on which it says why it does not.
const (
	childSocket = 3 + iota
	childReport
)

// Only the process that the state file names may begin to listen, since the kernel tells clients which one did. After that the process needs
// neither socket nor memory: this program, its parent, replies, and the process becomes one that sleeps.
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

// child is the process of a sandbox that has one of its own: a child that sleeps.
type child struct {
	cmd    *exec.Cmd
	cgroup string // directory of its cgroup; empty: that of this process
}

// startChild starts a process that listens on the socket, in a cgroup that is made for it unless cgroup is empty. The process ends with this
// program at the latest: the kernel kills it when the thread that started it ends, and Go keeps its threads.
func startChild(cgroup string, socket int) (*child, error) {
	p := &child{exec.Command("sleep", "infinity"), cgroup}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if cgroup != "" {
		if err := os.Mkdir(cgroup, 0o755); err != nil {
			return nil, err
		}
	}
	if err := p.start(socket); err != nil {
		return nil, errors.Join(err, p.removeCgroup())
	}
	if cgroup == "" {
		return p, nil
	}
	// The same for version 1 and 2.
	procs := filepath.Join(cgroup, "cgroup.procs")
	if err := os.WriteFile(procs, []byte(strconv.Itoa(p.pid())), 0o644); err != nil {
		return nil, errors.Join(fmt.Errorf("move a process into its cgroup: %w", err), p.end())
	}
	return p, nil
}

// start starts the process, which listens on the socket, if there is one, when start returns.
func (p *child) start(socket int) error {
	if socket == noSocket {
		return p.cmd.Start()
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
	err = errors.Join(p.cmd.Start(), reporter.Close(), unix.SetNonblock(socket, true)) // os/exec makes what it hands over blocking
	if err != nil {
		return err
	}
	if said, err := io.ReadAll(report); err != nil || len(said) > 0 {
		return errors.Join(fmt.Errorf("process of a sandbox: %s", said), err, p.cmd.Wait())
	}
	return nil
}

func (p *child) pid() int { return p.cmd.Process.Pid }

// end kills the process, waits for its end, and removes its cgroup.
func (p *child) end() error {
	if err := p.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	_ = p.cmd.Wait() // it was killed
	return p.removeCgroup()
}

// removeCgroup removes the cgroup. The kernel takes its files with it; those of a directory that is no cgroup are removed one by one.
func (p *child) removeCgroup() error {
	if p.cgroup == "" {
		return nil
	}
	return os.RemoveAll(p.cgroup)
}
