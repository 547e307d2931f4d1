package simulate

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
)

// TestOwnProcess: each sandbox has its own process, which its state file names, and which ends with
// the sandbox, also if it was killed before.
func TestOwnProcess(t *testing.T) {
	root := t.TempDir()
	fleet := mustFleet(t, root, 3, FleetOptions{Spec: func(_ int, s *Spec) { s.OwnProcess = true }})
	pids := map[int]bool{os.Getpid(): true}
	for _, s := range fleet.Sandboxes {
		pid := s.PID()
		if pids[pid] || readState(t, s, "").Sandbox.PID != pid {
			t.Errorf("%s has process %d, which its state file does not name, or another sandbox has", s.ID(), pid)
		}
		pids[pid] = true
		must(t, syscall.Kill(pid, 0))
	}
	must(t, syscall.Kill(fleet.Sandboxes[0].PID(), syscall.SIGKILL))
	must(t, fleet.Remove())
	delete(pids, os.Getpid())
	for pid := range pids {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d is left: %v", pid, err)
		}
	}
	if left := names(t, root); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

// TestExit: the process of a sandbox ends with the exit status, and is reaped by Stop only.
func TestExit(t *testing.T) {
	s := mustStart(t, t.TempDir(), Spec{ID: "a", OwnProcess: true})
	must(t, s.Exit(143))
	if err := syscall.Kill(s.PID(), 0); err != nil {
		t.Errorf("the process is gone: %v", err)
	}
	must(t, s.Remove())
	if got := s.child.cmd.ProcessState.ExitCode(); got != 143 {
		t.Errorf("the exit status is %d", got)
	}
}

// TestOwnCgroups: the process is in all of its cgroups, which are removed with it, and a failure leaves
// none of them. Plain directories stand in for cgroups, which cannot be made everywhere.
func TestOwnCgroups(t *testing.T) {
	parent := t.TempDir()
	dirs := []string{filepath.Join(parent, "a"), filepath.Join(parent, "b")}
	s := mustStart(t, t.TempDir(), Spec{ID: "a", OwnProcess: true, Cgroups: dirs})
	for _, dir := range dirs {
		if procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs")); err != nil || string(procs) != strconv.Itoa(s.PID()) {
			t.Errorf("%s has the processes %q, %v, want %d", dir, procs, err, s.PID())
		}
	}
	must(t, s.Remove())
	fails := func(want error, dirs ...string) {
		t.Helper()
		if _, err := Start(t.TempDir(), Spec{ID: "a", OwnProcess: true, Cgroups: dirs}); !errors.Is(err, want) {
			t.Errorf("cgroups %q: %v, want %v", dirs, err, want)
		}
	}
	fails(os.ErrExist, append(dirs, dirs[0])...)
	fails(os.ErrNotExist, filepath.Join(parent, "none", "a"))
	if left := names(t, parent); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

// TestOwnNetwork: the process has a network namespace of its own, from which it listens.
func TestOwnNetwork(t *testing.T) {
	s, err := Start(t.TempDir(), Spec{ID: "a", OwnProcess: true, OwnNetwork: true})
	if errors.Is(err, os.ErrPermission) {
		t.Skipf("no network namespace can be made here: %v", err)
	}
	must(t, err)
	defer s.Remove()
	ours, err := os.Readlink("/proc/self/ns/net")
	must(t, err)
	if theirs, err := os.Readlink("/proc/" + strconv.Itoa(s.PID()) + "/ns/net"); err != nil || ours == theirs {
		t.Errorf("both are in %s, %v", ours, err)
	}
}
