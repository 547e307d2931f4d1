package runsc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// AdoptOrphans makes this process the parent of orphaned processes of sandboxes from now on, and
// returns a function that reaps ended ones and returns their number. Otherwise they would stay
// zombies where the first process does not reap, as in a container without an init. It affects the
// whole program: reap reaps any child, so call it only while no other code waits for a child.
func AdoptOrphans() (reap func() int, err error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, os.NewSyscallError("prctl", err)
	}
	return reapChildren, nil
}

// exitTime is how long a process may take to become a zombie after it has released its memory, at
// which point Close counts it as ended.
const exitTime = time.Second

func reapChildren() int {
	n := 0
	for deadline := time.Now().Add(exitTime); ; {
		switch pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); {
		case pid > 0:
			n++
		case err != nil && !errors.Is(err, unix.EINTR), time.Now().After(deadline):
			return n // there are no children, or none has ended
		default:
			time.Sleep(time.Millisecond)
		}
	}
}

// held are processes of a node, held by pidfds, so that reused PIDs are never mistaken for them.
type held []heldProcess

type heldProcess struct{ pid, fd int }

// hold opens pidfds of those pids that are processes of this node.
func (n *Node) hold(pids []int) held {
	var h held
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it has ended
		}
		// Checked while the pidfd is held; otherwise the PID could be reused in between.
		if !n.owns(pid) {
			unix.Close(fd)
			continue
		}
		h = append(h, heldProcess{pid, fd})
	}
	return h
}

// owns reports whether a process is a runsc process of this node: its name is the program's, or
// begins with runsc-, such as runsc-sandbox, or is the program's that becomes runsc-sandbox, and
// its command line has the runtime root, which is unique.
func (n *Node) owns(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	args := strings.Split(string(line), "\x00")
	isRunsc := args[0] == n.runsc || strings.HasPrefix(args[0], "runsc-") || filepath.Base(args[0]) == prewarmer
	return isRunsc && slices.Contains(args, n.rootFlag())
}

// endProcesses kills the remaining processes of this node.
func (n *Node) endProcesses(ctx context.Context) error {
	for {
		pids, err := allPids()
		if err != nil {
			return err
		}
		h := n.hold(pids)
		if len(h) == 0 {
			return nil
		}
		for _, p := range h {
			// An error means that the process has just ended, which wait observes.
			_ = unix.PidfdSendSignal(p.fd, unix.SIGKILL, nil, 0)
		}
		err = h.wait(ctx)
		h.release()
		if err != nil {
			return err
		}
		// Again, since one of them may have started another process.
	}
}

// wait returns when all processes have ended or the context has.
func (h held) wait(ctx context.Context) error {
	for _, p := range h {
		if err := p.wait(ctx); err != nil {
			return fmt.Errorf("process %d did not end: %w", p.pid, err)
		}
	}
	return nil
}

// pollInterval is the interval at which wait checks its context.
const pollInterval = 50 * time.Millisecond

func (p heldProcess) wait(ctx context.Context) error {
	fds := []unix.PollFd{{Fd: int32(p.fd), Events: unix.POLLIN}}
	for {
		ready, err := unix.Poll(fds, int(pollInterval.Milliseconds()))
		switch {
		case ready > 0:
			return nil
		case err != nil && !errors.Is(err, unix.EINTR):
			return os.NewSyscallError("poll", err)
		case ctx.Err() != nil:
			return ctx.Err()
		}
	}
}

func (h held) release() {
	for _, p := range h {
		unix.Close(p.fd)
	}
}

// allPids lists the processes of this machine.
func allPids() ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var pids []int
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
