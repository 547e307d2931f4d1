package simulate

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
)

// child is the process of a sandbox that has one of its own: a child that sleeps.
type child struct {
	cmd    *exec.Cmd
	cgroup string // directory of its cgroup; empty: that of this process
}

// startChild starts a process, in a cgroup that is made for it unless cgroup is empty. The process ends with this program at the
// latest: the kernel kills it when the thread that started it ends, and Go keeps its threads.
func startChild(cgroup string) (*child, error) {
	p := &child{exec.Command("sleep", "infinity"), cgroup}
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if cgroup != "" {
		if err := os.Mkdir(cgroup, 0o755); err != nil {
			return nil, err
		}
	}
	if err := p.cmd.Start(); err != nil {
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
