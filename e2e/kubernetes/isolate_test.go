package kubernetes

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// envDir names the environment variable with the directory of the node, for the inner stages.
const envDir = "SANDMETER_KUBERNETES_DIR"

// hierarchies is where cgroup v1 is mounted.
const hierarchies = "/sys/fs/cgroup"

// outermost makes what outlives the namespaces, runs the next stage in them, and removes it.
func outermost() (code int, err error) {
	sweep()
	dir, unlock, err := newDir()
	if err != nil {
		return 1, err
	}
	defer unlock()
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	group := cgroupOf(dir)
	defer func() { err = errors.Join(err, removeCgroups(group)) }()
	if err := makeCgroups(group); err != nil {
		return 1, err
	}
	return runIsolated(dir)
}

// prefix begins the names of the directories and cgroups of nodes. lockFile is the file of a directory
// that is locked as long as the tests of the node run.
const (
	prefix   = "sandmeter-kubernetes-"
	lockFile = "lock"
)

// newDir makes the directory of a node, and locks it.
func newDir() (dir string, unlock func(), err error) {
	if dir, err = os.MkdirTemp("", prefix); err != nil {
		return "", nil, err
	}
	path := filepath.Join(dir, lockFile)
	file, err := os.Create(path + ".new")
	if err == nil {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX)
	}
	if err == nil {
		err = os.Rename(file.Name(), path) // from now on, it is locked whenever it is there
	}
	if err != nil {
		return "", nil, errors.Join(err, os.RemoveAll(dir))
	}
	return dir, func() { file.Close() }, nil
}

// sweep removes what tests that were killed with SIGKILL have left.
func sweep() {
	locks, _ := filepath.Glob(filepath.Join(os.TempDir(), prefix+"*", lockFile))
	for _, path := range locks {
		file, err := os.Open(path)
		if err != nil {
			continue
		}
		dir := filepath.Dir(path)
		if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil {
			fmt.Fprintln(os.Stderr, "kubernetes: removing what an earlier run has left in", dir)
			if err := errors.Join(removeCgroups(cgroupOf(dir)), os.RemoveAll(dir)); err != nil {
				fmt.Fprintln(os.Stderr, "kubernetes:", err)
			}
		}
		file.Close()
	}
}

// runIsolated runs the next stage in new namespaces, and returns when nothing runs in them.
func runIsolated(dir string) (code int, err error) {
	inner := stage("init", dir)
	inner.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: unix.CLONE_NEWPID | unix.CLONE_NEWNS | unix.CLONE_NEWNET,
		Setsid:     true, // so that Ctrl-C reaches only this process
		Pdeathsig:  unix.SIGKILL,
	}
	// Pdeathsig is about the thread that starts the process.
	runtime.LockOSThread()
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGHUP)
	if err := inner.Start(); err != nil {
		return 1, fmt.Errorf("make namespaces: %w", err)
	}
	go func() {
		<-ended
		_ = inner.Process.Kill()
	}()
	_ = inner.Wait() // ProcessState has the result
	return max(inner.ProcessState.ExitCode(), -inner.ProcessState.ExitCode()), nil
}

// stage returns this program with its arguments as a stage.
func stage(name, dir string) *exec.Cmd {
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), envStage+"="+name, envDir+"="+dir)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	return cmd
}

// cgroupOf returns the name of the cgroup that all pods of a node are in.
func cgroupOf(dir string) string { return filepath.Base(dir) }

// makeCgroups makes a group in each hierarchy of cgroup v1, for kubelet, which has no way to say
// where the group of each hierarchy is.
func makeCgroups(group string) error {
	if _, err := os.Stat(filepath.Join(hierarchies, "memory", "cgroup.procs")); err != nil {
		return fmt.Errorf("%w: these tests need cgroup v1", err)
	}
	parents, err := filepath.Glob(filepath.Join(hierarchies, "*", "cgroup.procs"))
	if err != nil {
		return err
	}
	for _, parent := range parents {
		dir := filepath.Join(filepath.Dir(parent), group)
		if err := os.Mkdir(dir, 0o755); err != nil && !errors.Is(err, fs.ErrExist) {
			return err // hierarchies have several names
		}
		// An empty set of CPUs takes no processes.
		for _, file := range []string{"cpuset.cpus", "cpuset.mems"} {
			set, err := os.ReadFile(filepath.Join(filepath.Dir(parent), file))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, file), set, 0o644)
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// removeCgroups removes a group of all hierarchies and the groups below it, none of which has a
// process.
func removeCgroups(group string) error {
	groups, err := filepath.Glob(filepath.Join(hierarchies, "*", group))
	for _, top := range groups {
		var below []string
		_ = filepath.WalkDir(top, func(path string, entry fs.DirEntry, _ error) error {
			if entry != nil && entry.IsDir() {
				below = append(below, path)
			}
			return nil
		})
		for i := len(below) - 1; i >= 0; i-- {
			err = errors.Join(err, removeCgroup(below[i]))
		}
	}
	return err
}

// removeCgroup removes a group, which is busy for a moment after its last process has ended.
func removeCgroup(path string) error {
	var err error
	for range 100 {
		if err = os.Remove(path); err == nil || errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// firstProcess gives the node private directories where it would use the host's, runs the tests,
// and reaps the processes that are orphaned meanwhile, such as those of shims.
func firstProcess() (int, error) {
	if err := mountPrivate(os.Getenv(envDir)); err != nil {
		return 1, err
	}
	tests := stage("tests", os.Getenv(envDir))
	if err := tests.Start(); err != nil {
		return 1, err
	}
	for {
		var status unix.WaitStatus
		switch pid, err := unix.Wait4(-1, &status, 0, nil); {
		case err != nil && !errors.Is(err, unix.EINTR):
			return 1, os.NewSyscallError("wait4", err)
		case pid == tests.Process.Pid && status.Exited():
			return status.ExitStatus(), nil
		case pid == tests.Process.Pid:
			return 1, fmt.Errorf("the tests ended by a signal: %v", status.Signal())
		}
	}
}

// mountPrivate replaces the directories in which the node writes. So it has the paths of a usual
// node, and does not touch those of this machine.
func mountPrivate(dir string) error {
	private := map[string]string{"/var/lib": "lib", "/var/log": "log"}
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	for target, name := range private {
		source := filepath.Join(dir, name)
		if err := os.Mkdir(source, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
			return fmt.Errorf("mount %s: %w", target, err)
		}
	}
	for target, kind := range map[string]string{"/proc": "proc", "/run": "tmpfs"} {
		if err := unix.Mount(kind, target, kind, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", target, err)
		}
	}
	// kubelet shares mounts with pods.
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_SHARED, ""); err != nil {
		return os.NewSyscallError("mount", err)
	}
	return nil
}
