package host

import (
	"io"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A child is a process that waits to be killed or to be told to exit.
type child struct {
	t     testing.TB
	cmd   *exec.Cmd
	pid   int
	stdin io.Closer // nil: it waits to be killed
}

func startChild(t testing.TB) *child {
	t.Helper()
	return startCommand(t, exec.Command("sleep", "600"), nil)
}

// startScript starts a shell that runs the script when it is told to.
func startScript(t testing.TB, script string) *child {
	t.Helper()
	cmd := exec.Command("sh", "-c", "read line; "+script)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	return startCommand(t, cmd, stdin)
}

func startCommand(t testing.TB, cmd *exec.Cmd, stdin io.Closer) *child {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{t, cmd, cmd.Process.Pid, stdin}
	t.Cleanup(c.reap)
	return c
}

func startChildren(t testing.TB, n int) []*child {
	t.Helper()
	children := make([]*child, n)
	for i := range children {
		children[i] = startChild(t)
	}
	return children
}

// signal kills the child and does not wait for its end.
func (c *child) signal() {
	if err := unix.Kill(c.pid, unix.SIGKILL); err != nil {
		c.t.Error(err)
	}
}

// kill kills the child and leaves it a zombie.
func (c *child) kill() {
	c.t.Helper()
	c.signal()
	c.awaitEnd()
}

// run tells the child to run its script, and leaves it a zombie.
func (c *child) run() {
	c.t.Helper()
	if err := c.stdin.Close(); err != nil {
		c.t.Fatal(err)
	}
	c.awaitEnd()
}

// awaitEnd waits until the child is a zombie.
func (c *child) awaitEnd() {
	c.t.Helper()
	// The kernel makes a process a zombie and reports it to pidfds and waiting parents under one
	// lock.
	for {
		err := unix.Waitid(unix.P_PID, c.pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			c.t.Fatal(err)
		}
		break
	}
	if err := unix.Kill(c.pid, 0); err != nil {
		c.t.Fatalf("no zombie: %v", err)
	}
}

// reap kills the child, if it has not ended, and waits for it.
func (c *child) reap() {
	if c.cmd.ProcessState == nil {
		_ = c.cmd.Process.Kill()
		_ = c.cmd.Wait()
	}
}

// newWatcher returns a Watcher that is closed at the end of the test.
func newWatcher(t testing.TB) *Watcher {
	t.Helper()
	w, err := newWatcherWith(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// newQuietWatcher returns a Watcher whose goroutine has ended, so that only Sync observes ends.
func newQuietWatcher(t testing.TB) *Watcher {
	t.Helper()
	w := newWatcher(t)
	silence(t, w)
	return w
}

// silence ends the goroutine of the watcher, and returns the connection with which it can be
// started again.
func silence(t testing.TB, w *Watcher) syscall.RawConn {
	t.Helper()
	loud := w.file
	w.file = nil
	if err := loud.Close(); err != nil {
		t.Fatal(err)
	}
	<-w.done
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	w.epoll = fd
	conn, err := w.pollable()
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// withoutPidfd changes a process as if no pidfd had been available.
func withoutPidfd(p *Process) *Process {
	p.watcher.mu.Lock()
	defer p.watcher.mu.Unlock()
	p.closeFD()
	p.watcher.noFD[p] = struct{}{}
	return p
}

// unreadable changes a process as if it were not known which zombie in /proc is its own.
func unreadable(p *Process) *Process {
	p.watcher.mu.Lock()
	defer p.watcher.mu.Unlock()
	p.start = 0
	return p
}

// pidfd returns the file descriptor that is held for the process, or -1.
func (p *Process) pidfd() int {
	p.watcher.mu.Lock()
	defer p.watcher.mu.Unlock()
	return p.fd
}

// await waits until the end of the process was observed.
func await(t testing.TB, p *Process) {
	t.Helper()
	select {
	case <-p.Done():
	case <-time.After(time.Minute):
		t.Fatal("no end was observed within a minute")
	}
	if p.End() == nil {
		t.Error("Done is closed, and there is no record of the end")
	}
}

// isDone reports whether Done is closed.
func isDone(p *Process) bool {
	select {
	case <-p.Done():
		return true
	default:
		return false
	}
}

// check fails the test unless all methods of the process agree with ended.
func check(t testing.TB, what string, p *Process, ended bool) {
	t.Helper()
	if (p.End() != nil) != ended || isDone(p) != ended {
		t.Errorf("%s: the record is %+v and Done is closed: %v, want ended: %v", what, p.End(), isDone(p), ended)
	}
	if p.Settled() && p.pidfd() >= 0 {
		t.Errorf("%s: a file descriptor is held for it", what)
	}
}
