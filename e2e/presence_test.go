package e2e

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestClockStep: after a step of the wall clock, the times in state files do not fit the processes.
// A server that starts later serves running sandboxes all the same.
func TestClockStep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("ahead", "idle")
	w.start("behind", "idle")
	w.setStartTime("ahead", 10*time.Minute)
	w.setStartTime("behind", -10*time.Minute)
	s := w.startServer(w.serveArgs())
	w.untilBegun(2)
	w.scrape().wantRunning(t, []string{"ahead", "behind"}, []string{"ahead", "behind"})
	if log := s.err.String(); strings.Contains(log, "WARN") || strings.Contains(log, "ERROR") {
		t.Errorf("the log has complaints:\n%s", log)
	}
	p := newProgram(t, "list", "--root", w.root, "--json")
	p.exit(t, 0)
	if running := strings.Count(p.out.String(), `"running": true`); running != 2 {
		t.Errorf("list shows %d running sandboxes:\n%s", running, &p.out)
	}
}

// setStartTime changes the start time of a sandbox in its state file.
func (w *world) setStartTime(id string, step time.Duration) {
	w.t.Helper()
	path := filepath.Join(w.root, id+"_sandbox:"+id+".state")
	data, err := os.ReadFile(path)
	w.must(err)
	stamp := time.Now().Add(step).UTC().Format(time.RFC3339Nano)
	changed := regexp.MustCompile(`"startTime":"[^"]*"`).ReplaceAll(data, []byte(`"startTime":"`+stamp+`"`))
	if string(changed) == string(data) {
		w.t.Fatal("the state file has no start time")
	}
	w.must(os.WriteFile(path, changed, 0o600))
}

// TestOtherPIDNamespace: a server in its own PID namespace cannot see the processes of sandboxes.
// The listeners of the control sockets show which sandboxes run, and their release which registration is
// that of a sandbox without one.
func TestOtherPIDNamespace(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("a", "idle")
	w.startSilent("b", "idle")
	p := withPath(newProgram(t, w.serveArgs()...), filepath.Dir(realRunsc(t)))
	p.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	s := w.startProgram(p)
	w.untilBegun(2)
	w.scrape().wantRunning(t, []string{"a", "b"}, []string{"a", "b"})
	pid, err := w.node.Pid("a")
	w.must(err)
	w.must(unix.Kill(pid, unix.SIGKILL))
	w.untilValue(0, "runsc_meta_sandbox_running", "sandbox", "a")
	w.scrape().wantKept(t, []string{"b"}, []string{"a"})
	if n := strings.Count(s.err.String(), "hostPID: true"); n != 1 {
		t.Errorf("the log says %d times what is wrong:\n%s", n, &s.err)
	}
}
