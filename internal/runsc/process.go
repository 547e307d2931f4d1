package runsc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// AdoptOrphans makes the processes of sandboxes, which runsc leaves without a parent, children of this process from now on, and returns a
// function that reaps those that have ended and says how many. Without it they would stay zombies on machines where nobody reaps, such
// as a container whose first process is no init.
//
// It is for the program as a whole: reap takes any child, so it may be called only while nobody else waits for one.
func AdoptOrphans() (reap func() int, err error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return nil, os.NewSyscallError("prctl", err)
	}
	return reapChildren, nil
}

// exitTime is how long a process that has lost its memory, and so is known to Close as ended, may take to become a zombie.
const exitTime = time.Second

func reapChildren() int {
	n := 0
	for deadline := time.Now().Add(exitTime); ; {
		switch pid, err := unix.Wait4(-1, nil, unix.WNOHANG, nil); {
		case pid > 0:
			n++
		case err != nil && !errors.Is(err, unix.EINTR), time.Now().After(deadline):
			return n // there are no children, or none that ends
		default:
			time.Sleep(time.Millisecond)
		}
	}
}

// held are processes of a node, held by descriptors: their numbers cannot come to mean other processes.
type held []heldProcess

type heldProcess struct{ pid, fd int }

// hold holds those of pids that are processes of this node.
func (n *Node) hold(pids []int) held {
	var h held
	for _, pid := range pids {
		fd, err := unix.PidfdOpen(pid, 0)
		if err != nil {
			continue // it has ended
		}
		// Asked once it is held: before, the number could have passed to another process in between.
		if !n.owns(pid) {
			unix.Close(fd)
			continue
		}
		h = append(h, heldProcess{pid, fd})
	}
	return h
}

// owns tells whether a process is runsc's and works on this node: its name is that of the program or one that runsc gives itself, such as
// runsc-sandbox, and its command line has the runtime root, which is no one else's.
func (n *Node) owns(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false
	}
	args := strings.Split(string(line), "\x00")
	isRunsc := args[0] == n.runsc || strings.HasPrefix(args[0], "runsc-")
	return isRunsc && slices.Contains(args, n.rootFlag())
}

// endProcesses ends by force what still runs for this node.
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
			// It fails if the process has just ended, and then wait says so.
			_ = unix.PidfdSendSignal(p.fd, unix.SIGKILL, nil, 0)
		}
		err = h.wait(ctx)
		h.release()
		if err != nil {
			return err
		}
		// Once more: one of them may have started another.
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

// pollInterval is how often a wait looks at its context.
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
