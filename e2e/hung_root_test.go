package e2e

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/metricclient"
)

// hangable mounts a directory with FUSE, and returns the path of the mount, and functions that stop the daemon
// and let it go on. While it is stopped, the kernel returns from no call that touches the mount.
func hangable(w *world, dir string) (mount string, hang, answer func()) {
	w.t.Helper()
	mount = w.t.TempDir()
	daemon := exec.Command("bindfs", "-f", "--no-allow-other", "-o", "attr_timeout=0,entry_timeout=0,negative_timeout=0", dir, mount)
	daemon.Stderr = os.Stderr
	if err := daemon.Start(); err != nil {
		w.t.Fatalf("%v: install bindfs and fuse3", err)
	}
	signal := func(s syscall.Signal) func() {
		return func() { w.must(daemon.Process.Signal(s)) }
	}
	w.t.Cleanup(func() {
		signal(syscall.SIGCONT)()
		_ = unix.Unmount(mount, unix.MNT_DETACH)
		_ = daemon.Process.Kill()
		_ = daemon.Wait() // it was killed
	})
	w.until(func() error {
		var st unix.Statfs_t
		w.must(unix.Statfs(mount, &st))
		if st.Type != unix.FUSE_SUPER_MAGIC {
			return errNot("the directory is mounted")
		}
		return nil
	})
	return mount, signal(syscall.SIGSTOP), signal(syscall.SIGCONT)
}

// TestHungRoot: a runtime root on a file system that does not answer takes nothing from the others. A server
// that has no other runs, and is not ready. Both can be stopped.
func TestHungRoot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("sb", "idle")
	mount, hang, answer := hangable(w, t.TempDir())
	hung := func(want float64) {
		t.Helper()
		w.until(func() error {
			p := w.scrape()
			p.wantValue(t, 0, "sandmeter_runtime_root_hung", "runtime_root", w.root)
			p.wantValue(t, 1, "sandmeter_sandbox_up", "sandbox", "sb")
			if got, _ := p.value("sandmeter_runtime_root_hung", "runtime_root", mount); got != want {
				return fmt.Errorf("the root is hung: %v, want %v", got, want)
			}
			return nil
		})
	}
	s := w.startServer(w.serveArgs("--root", mount))
	hung(0)
	hang()
	hung(1)
	w.command("health", "--address", w.addr, "--root", w.root)
	answer()
	hung(0)
	hang()
	hung(1)
	stop := func() {
		t.Helper()
		s.signal(syscall.SIGTERM)
		w.until(func() error {
			if !strings.Contains(s.err.String(), "Metric server stopped") {
				return errNot("the server has stopped")
			}
			return nil
		})
		answer() // the kernel ends no process with a call that the daemon had already taken when it was stopped
		s.wantEnd(soon, 0)
	}
	stop()
	hang()
	s = w.startServer(w.serveArgs("--root", mount))
	hung(1)
	stop()

	s = startProgram(t, newProgram(t, serveArgs(mount, w.addr)...))
	w.client = metricclient.NewMetricClient(w.addr, mount)
	t.Cleanup(w.client.Close)
	status := func(path string) (int, error) {
		response, err := w.http().Get("http://localhost" + path)
		if err != nil {
			return 0, err
		}
		response.Body.Close()
		return response.StatusCode, nil
	}
	ready := func(want int) {
		t.Helper()
		w.until(func() error {
			_, _ = w.client.GetMetrics(w.ctx(), nil)
			if got, err := status("/-/ready"); got != want {
				return fmt.Errorf("/-/ready is %d, want %d (%v)", got, want, err)
			}
			return nil
		})
	}
	ready(http.StatusOK)
	hang()
	ready(http.StatusServiceUnavailable)
	for _, path := range []string{"/-/healthy", "/metrics"} {
		if got, err := status(path); got != http.StatusOK {
			t.Errorf("%s is %d (%v)", path, got, err)
		}
	}
	w.command("health", "--live", "--address", w.addr, "--root", mount)
	stop()
}
