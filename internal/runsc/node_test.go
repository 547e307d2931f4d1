package runsc_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/internal/runsc/runsctest"
)

// sleeper builds the program that the sandboxes of these tests run.
var sleeper = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "sleeper-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "sleeper")
	return path, build(path)
})

func build(path string, flags ...string) error {
	args := append([]string{"build", "-buildvcs=false", "-o", path}, flags...)
	cmd := exec.Command("go", append(args, "./testdata/sleeper")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("building the sleeper: %w: %s", err, out)
	}
	return nil
}

func TestMain(m *testing.M) {
	reap, err := runsc.AdoptOrphans()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	reap()
	if path, err := sleeper(); err == nil {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

// config returns the configuration of a node that can run here, or skips the test.
func config(t *testing.T) runsc.Config {
	t.Helper()
	program, err := sleeper()
	if err != nil {
		t.Fatal(err)
	}
	return runsc.Config{Runsc: runsctest.Program(t, program, "exit"), Program: program}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantStatus(t *testing.T, node *runsc.Node, id, want string) {
	t.Helper()
	got, err := node.Status(id)
	if err != nil || got != want {
		t.Errorf("status of %s is %q, %v; want %q", id, got, err, want)
	}
}

func TestLife(t *testing.T) {
	node := runsctest.NewNode(t, config(t))
	ctx := t.Context()
	must(t, node.Create(ctx, runsc.Container{ID: "one"}))
	wantStatus(t, node, "one", "created")
	must(t, node.Start(ctx, "one"))
	wantStatus(t, node, "one", "running")
	must(t, node.Pause(ctx, "one"))
	wantStatus(t, node, "one", "paused")
	must(t, node.Resume(ctx, "one"))
	wantStatus(t, node, "one", "running")

	pid, err := node.Pid("one")
	must(t, err)
	if !runs(pid) {
		t.Errorf("process %d of the running sandbox does not run", pid)
	}
	must(t, node.Kill(ctx, "one", unix.SIGTERM))
	must(t, node.Delete(ctx, "one"))
	if runs(pid) {
		t.Errorf("process %d of the deleted sandbox runs", pid)
	}
	must(t, node.Run(ctx, runsc.Container{ID: "one", UID: 1000}))
	wantStatus(t, node, "one", "running")
}

func TestReleaseRunsItsSentry(t *testing.T) {
	conf := config(t)
	node := runsctest.NewNode(t, conf)
	must(t, node.Run(t.Context(), runsc.Container{ID: "one"}))
	pid, err := node.Pid("one")
	must(t, err)
	got, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid))
	must(t, err)
	if want, ok := runsc.Sentry(conf.Runsc); !ok || got != want {
		t.Errorf("the sandbox runs %s, want %s", got, want)
	}
}

// runs reports whether a process has not ended. A zombie has ended.
func runs(pid int) bool {
	line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	return err == nil && len(line) > 0
}

func TestAdoptedOrphansAreReaped(t *testing.T) {
	reap, err := runsc.AdoptOrphans()
	must(t, err)
	reap()
	node := runsctest.NewNode(t, config(t))
	reap()
	must(t, node.Run(t.Context(), runsc.Container{ID: "one"}))
	pid, err := node.Pid("one")
	must(t, err)
	must(t, node.Delete(t.Context(), "one"))
	// The sandbox and its gofer.
	if n := reap(); n != 2 {
		t.Errorf("%d processes were reaped, want 2", n)
	}
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("process %d of the deleted sandbox: %v", pid, err)
	}
}

func TestPodSharesItsSandbox(t *testing.T) {
	node := runsctest.NewNode(t, config(t))
	pod := runsc.Pod{Sandbox: "pod", Name: "nginx", Namespace: "prod"}
	for _, id := range []string{"pod", "a", "b"} {
		must(t, node.Run(t.Context(), runsc.Container{ID: id, Annotations: pod.Annotations(id)}))
	}
	pid, err := node.Pid("pod")
	must(t, err)
	if shared, err := node.Pid("a"); err != nil || shared != pid {
		t.Errorf("sandbox process of the container is %d, %v; of the pod %d", shared, err, pid)
	}
	must(t, node.Delete(t.Context(), "a"))
	wantStatus(t, node, "pod", "running")
	wantStatus(t, node, "b", "running")
}

// runsc accepts abbreviated IDs.
func TestIDsAreExact(t *testing.T) {
	node := runsctest.NewNode(t, config(t))
	ctx := t.Context()
	must(t, node.Run(ctx, runsc.Container{ID: "pre1"}))
	if err := node.Delete(ctx, "pre"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Delete of an ID that does not exist: %v", err)
	}
	if err := node.Kill(ctx, "pre", unix.SIGKILL); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Kill of an ID that does not exist: %v", err)
	}
	wantStatus(t, node, "pre1", "running")
	must(t, node.Run(ctx, runsc.Container{ID: "pre"}))
	// Closing deletes both.
}

func TestFailureSaysWhatRunscSaid(t *testing.T) {
	node := runsctest.NewNode(t, config(t))
	must(t, node.Run(t.Context(), runsc.Container{ID: "one"}))
	err := node.Run(t.Context(), runsc.Container{ID: "one"})
	if err == nil || !strings.Contains(err.Error(), "runsc run one: exit status 128: ") {
		t.Errorf("second container of the same ID: %v", err)
	}
}

// Ctrl-C may come at any moment of a start.
func TestCloseAfterCancelledRun(t *testing.T) {
	conf := config(t)
	for delay := time.Duration(0); delay <= 80*time.Millisecond; delay += 5 * time.Millisecond {
		node, err := runsc.NewNode(conf)
		must(t, err)
		ctx, cancel := context.WithTimeout(t.Context(), delay)
		err = node.Run(ctx, runsc.Container{ID: "one"})
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("run cancelled after %v: %v", delay, err)
		}
		runsctest.Close(t, node)
	}
}

// Close removes everything even if runsc cannot read the runtime root any more.
func TestCloseWithoutStateFiles(t *testing.T) {
	node := runsctest.NewNode(t, config(t))
	must(t, node.Run(t.Context(), runsc.Container{ID: "lost"}))
	must(t, node.Run(t.Context(), runsc.Container{ID: "torn"}))
	must(t, os.Remove(filepath.Join(node.Root(), "lost_sandbox:lost.state")))
	must(t, os.Truncate(filepath.Join(node.Root(), "torn_sandbox:torn.state"), 100))
}

func TestCloseSparesOtherNodes(t *testing.T) {
	conf := config(t)
	one, two := runsctest.NewNode(t, conf), runsctest.NewNode(t, conf)
	must(t, one.Run(t.Context(), runsc.Container{ID: "sb"}))
	must(t, two.Run(t.Context(), runsc.Container{ID: "sb"}))
	runsctest.Close(t, one)
	must(t, two.Pause(t.Context(), "sb"))
}

func TestNodeInLongPath(t *testing.T) {
	conf := config(t)
	conf.TempDir = filepath.Join(t.TempDir(), strings.Repeat("long", 20), "with a blank")
	must(t, os.MkdirAll(conf.TempDir, 0o755))
	node := runsctest.NewNode(t, conf)
	must(t, node.Run(t.Context(), runsc.Container{ID: "one"}))
	must(t, node.Pause(t.Context(), "one"))
}

func TestCheckSaysWhyNot(t *testing.T) {
	conf := config(t)
	err := runsc.Check(t.Context(), conf, "fail")
	if err == nil || !strings.Contains(err.Error(), "exit status 3: sleeper: [31mtold to fail; it needs all") {
		t.Errorf("program that fails: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := runsc.Check(ctx, conf, "exit"); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled check: %v", err)
	}
}

func TestNewNodeRefusesDynamicProgram(t *testing.T) {
	program := filepath.Join(t.TempDir(), "dynamic")
	must(t, build(program, "-buildmode=pie"))
	_, err := runsc.NewNode(runsc.Config{Program: program})
	if err == nil || !strings.Contains(err.Error(), "CGO_ENABLED=0") {
		t.Errorf("NewNode with a dynamic program: %v", err)
	}
}

func TestNewNodeRefusesNoexec(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("mounting needs root")
	}
	program, err := sleeper()
	must(t, err)
	dir := t.TempDir()
	must(t, unix.Mount("none", dir, "tmpfs", unix.MS_NOEXEC, ""))
	t.Cleanup(func() { must(t, unix.Unmount(dir, 0)) })
	_, err = runsc.NewNode(runsc.Config{Program: program, TempDir: dir})
	if err == nil || !strings.Contains(err.Error(), "noexec") {
		t.Errorf("NewNode on a file system mounted noexec: %v", err)
	}
}
