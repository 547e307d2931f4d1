package host

import (
	"errors"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/leaktest"
)

// TestExecutable: the program file of a process is known as long as the process lives.
func TestExecutable(t *testing.T) {
	leaktest.Check(t)
	w := newWatcher(t)
	program, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Stat_t
	if err := unix.Stat(program, &st); err != nil {
		t.Fatal(err)
	}
	real, err := filepath.EvalSymlinks(program)
	if err != nil {
		t.Fatal(err)
	}
	want := Executable{File{st.Dev, st.Ino, st.Mtim.Nano()}, real}
	c := startChild(t)
	has := func(what string, p *Process) {
		t.Helper()
		if got, err := p.Executable(); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", what, got, err, want)
		}
	}
	p, bare := w.Watch(c.pid), withoutPidfd(w.Watch(c.pid))
	has("a process", p)
	has("without a pidfd", bare)
	none := func(what string, p *Process) {
		t.Helper()
		if got, err := p.Executable(); err == nil || got != (Executable{}) {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
	}
	reused := withoutPidfd(w.Watch(c.pid))
	reused.start-- // as of a process that had the PID before
	none("a reused PID", reused)
	if _, err := reused.Executable(); !errors.Is(err, ErrEnded) {
		t.Errorf("a reused PID: %v", err)
	}
	c.kill()
	none("a zombie", p)
	c.reap()
	none("reaped", p)
	none("never there", w.Watch(1<<22))
}
