package simulate

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestOwnProcess: each sandbox has its own process, which its state file names, and which ends with
// the sandbox.
func TestOwnProcess(t *testing.T) {
	root := t.TempDir()
	fleet, err := StartFleet(root, 3, FleetOptions{Spec: func(_ int, s *Spec) { s.OwnProcess = true }})
	if err != nil {
		t.Fatal(err)
	}
	pids := map[int]bool{os.Getpid(): true}
	for _, s := range fleet.Sandboxes {
		pid := s.PID()
		if pids[pid] {
			t.Errorf("two sandboxes have process %d", pid)
		}
		pids[pid] = true
		state, err := os.ReadFile(filepath.Join(root, s.ID()+"_sandbox:"+s.ID()+".state"))
		if err != nil || !strings.Contains(string(state), `"pid":`+strconv.Itoa(pid)+`,`) {
			t.Errorf("the state file of %s does not name process %d: %v", s.ID(), pid, err)
		}
		if err := syscall.Kill(pid, 0); err != nil {
			t.Errorf("process %d: %v", pid, err)
		}
	}
	if err := fleet.Remove(); err != nil {
		t.Error(err)
	}
	delete(pids, os.Getpid())
	for pid := range pids {
		if err := syscall.Kill(pid, 0); !errors.Is(err, syscall.ESRCH) {
			t.Errorf("process %d is left: %v", pid, err)
		}
	}
}

// TestOwnProcessKilled: a sandbox can be removed after its process was killed, for example by the
// kernel when memory is short.
func TestOwnProcessKilled(t *testing.T) {
	root := t.TempDir()
	s, err := Start(root, Spec{ID: "a", OwnProcess: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(s.PID(), syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	s.Stop()
	if err := s.Remove(); err != nil {
		t.Error(err)
	}
	if left := names(t, root); len(left) > 0 {
		t.Errorf("left over: %q", left)
	}
}

// TestExit: the process of a sandbox ends with the exit status, and is reaped by Stop only.
func TestExit(t *testing.T) {
	for _, status := range []int{0, 3, 143} {
		s, err := Start(t.TempDir(), Spec{ID: "a", OwnProcess: true})
		if err != nil {
			t.Fatal(err)
		}
		must(t, s.Exit(status))
		if err := syscall.Kill(s.PID(), 0); err != nil {
			t.Errorf("the process is gone: %v", err)
		}
		must(t, s.Remove())
		if got := s.child.cmd.ProcessState.ExitCode(); got != status {
			t.Errorf("the exit status is %d, want %d", got, status)
		}
	}
}

// cgroupParents are directories of this process's own cgroups, of version 1 or 2, below which it
// may be able to make others.
func cgroupParents() []string {
	matches, _ := filepath.Glob("/sys/fs/cgroup/*/cgroup.procs")
	var parents []string
	for _, m := range append(matches, "/sys/fs/cgroup/cgroup.procs") {
		parents = append(parents, filepath.Dir(m))
	}
	return parents
}

// checkCgroup fails the test unless the cgroup in a directory has the process of a sandbox, and is
// removed with it.
func checkCgroup(t *testing.T, s *Sandbox, dir string) {
	t.Helper()
	procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs"))
	if got := strings.TrimSpace(string(procs)); err != nil || got != strconv.Itoa(s.PID()) {
		t.Errorf("the cgroup has the processes %q, %v, want %d", got, err, s.PID())
	}
	if err := s.Remove(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the cgroup is left: %v", err)
	}
}

// TestOwnCgroupInATree uses plain directories in place of cgroups, to check the written files where
// cgroups cannot be made.
func TestOwnCgroupInATree(t *testing.T) {
	parent := t.TempDir()
	dir := filepath.Join(parent, "a")
	s, err := Start(t.TempDir(), Spec{ID: "a", OwnProcess: true, Cgroups: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	checkCgroup(t, s, dir)

	must(t, os.Mkdir(dir, 0o755))
	if _, err := Start(t.TempDir(), Spec{ID: "a", OwnProcess: true, Cgroups: []string{dir}}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a cgroup that was there: %v", err)
	}
	if _, err := os.Stat(dir); err != nil {
		t.Errorf("it is removed: %v", err)
	}
	if _, err := Start(t.TempDir(), Spec{ID: "a", OwnProcess: true, Cgroups: []string{filepath.Join(parent, "b", "a")}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a cgroup in none: %v", err)
	}
}

// TestOwnCgroups: the process is in all of its cgroups, and a failure leaves none of them.
func TestOwnCgroups(t *testing.T) {
	parent := t.TempDir()
	dirs := []string{filepath.Join(parent, "a"), filepath.Join(parent, "b")}
	s, err := Start(t.TempDir(), Spec{ID: "a", OwnProcess: true, Cgroups: dirs})
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range dirs {
		if procs, err := os.ReadFile(filepath.Join(dir, "cgroup.procs")); err != nil || string(procs) != strconv.Itoa(s.PID()) {
			t.Errorf("%s has the processes %q, %v, want %d", dir, procs, err, s.PID())
		}
	}
	must(t, s.Remove())
	if _, err := Start(t.TempDir(), Spec{ID: "a", OwnProcess: true, Cgroups: append(dirs, dirs[0])}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a cgroup twice: %v", err)
	}
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
	if err != nil {
		t.Fatal(err)
	}
	defer s.Remove()
	network := func(process string) string {
		t.Helper()
		link, err := os.Readlink("/proc/" + process + "/ns/net")
		if err != nil {
			t.Fatal(err)
		}
		return link
	}
	if ours, theirs := network("self"), network(strconv.Itoa(s.PID())); ours == theirs {
		t.Errorf("both are in %s", ours)
	}
}

// TestOwnCgroup: the process is in its own cgroup, which is removed with it.
func TestOwnCgroup(t *testing.T) {
	for _, parent := range cgroupParents() {
		dir := filepath.Join(parent, "sandmeter-test-"+strconv.Itoa(os.Getpid()))
		s, err := Start(t.TempDir(), Spec{ID: "a", OwnProcess: true, Cgroups: []string{dir}})
		if err != nil {
			if _, left := os.Stat(dir); left == nil {
				t.Errorf("after %v the cgroup %s is left", err, dir)
			}
			continue // read-only, or of a controller that wants more than a process
		}
		checkCgroup(t, s, dir)
		return
	}
	t.Skip("no cgroup can be made here")
}
