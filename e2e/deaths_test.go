package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// processState returns the state of a process from /proc, such as "S", "T" for stopped or "Z" for a
// zombie, and "" if there is none.
func processState(pid int) string {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	return string(bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])[0])
}

// pid returns the PID of a sandbox.
func (w *world) pid(id string) int {
	w.t.Helper()
	pid, err := w.node.Pid(id)
	w.must(err)
	return pid
}

// kill kills a sandbox and returns the PID of the zombie: it is a child of this program, which
// reaps it when reaped is called.
func (w *world) kill(id string) (pid int) {
	w.t.Helper()
	pid = w.pid(id)
	w.must(unix.Kill(pid, unix.SIGKILL))
	w.untilGone(pid)
	if state := processState(pid); state != "Z" {
		w.t.Fatalf("process %d, killed, is in state %q", pid, state)
	}
	return pid
}

// untilGone waits until a process has ended. That takes milliseconds. Its first thread is a zombie
// before the others have ended, so /proc does not show the end.
func (w *world) untilGone(pid int) {
	w.t.Helper()
	fd, err := unix.PidfdOpen(pid, 0)
	if errors.Is(err, unix.ESRCH) {
		return // and has been reaped
	}
	w.must(err)
	defer unix.Close(fd)
	w.until(func() error {
		if n, _ := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0); n == 0 {
			return fmt.Errorf("process %d has not ended", pid)
		}
		return nil
	})
}

// reaped reaps a zombie.
func (w *world) reaped(pid int) {
	w.t.Helper()
	if _, err := unix.Wait4(pid, nil, 0, nil); err != nil {
		w.t.Fatalf("reaping process %d: %v", pid, err)
	}
	if state := processState(pid); state != "" {
		w.t.Fatalf("process %d, reaped, is in state %q", pid, state)
	}
}

// stopSandbox stops a sandbox with SIGSTOP. goOn continues it, and so does the end of the test.
func (w *world) stopSandbox(id string) (goOn func()) {
	w.t.Helper()
	pid := w.pid(id)
	goOn = func() {
		w.t.Helper()
		w.must(unix.Kill(pid, unix.SIGCONT))
	}
	w.must(unix.Kill(pid, unix.SIGSTOP))
	w.t.Cleanup(func() { _ = unix.Kill(pid, unix.SIGCONT) })
	w.until(func() error {
		if state := processState(pid); state != "T" {
			return fmt.Errorf("process %d, stopped, is in state %q", pid, state)
		}
		return nil
	})
	return goOn
}

func TestServerRestartedAfterDeathsSaysTheSame(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("lives", "idle")
	w.start("zombie", "idle")
	w.start("reaped", "idle")
	w.start("exited", "exit")
	w.start("paused", "idle")
	w.must(w.node.Pause(w.ctx(), "paused"))
	w.serve()
	w.untilGone(w.pid("exited"))
	w.scrape().wantLives(t, []string{"lives", "paused", "reaped", "zombie"}, []string{"exited"})
	w.reaped(w.kill("reaped"))
	w.kill("zombie")
	said := func() []string {
		t.Helper()
		p := w.scrape()
		p.wantLives(t, []string{"lives", "paused"}, []string{"exited", "reaped", "zombie"})
		var lines []string
		for line := range strings.Lines(string(p.raw)) {
			if strings.HasPrefix(line, "runsc_meta_") {
				lines = append(lines, line[:strings.LastIndexByte(line, ' ')]) // without the time
			}
		}
		return lines
	}
	before := said()
	w.stop()
	w.serve()
	if after := said(); !slices.Equal(after, before) {
		t.Errorf("before the restart:\n%s\n\nafter it:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
	w.must(syscall.Kill(w.serverPid(), syscall.SIGKILL))
	w.until(func() error { return w.client.ShutdownServer(w.ctx()) })
	w.serve()
	if after := said(); !slices.Equal(after, before) {
		t.Errorf("before the server was killed:\n%s\n\nafter it:\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}
