package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
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

// TestHungRoot: a runtime root on a file system that does not answer takes nothing from the others.
func TestHungRoot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const sandboxes = 3
	for i := range sandboxes {
		w.start(fmt.Sprint("sb", i), "idle")
	}
	mount, hang, answer := hangable(w, t.TempDir())
	hung := func(want float64, s *server) {
		t.Helper()
		p := w.scrape()
		p.wantValue(t, want, "sandmeter_runtime_root_hung", "runtime_root", mount)
		p.wantValue(t, 0, "sandmeter_runtime_root_hung", "runtime_root", w.root)
		for i := range sandboxes {
			p.wantValue(t, 1, "sandmeter_sandbox_up", "sandbox", fmt.Sprint("sb", i))
		}
		if s.hasEnded() {
			t.Fatalf("the server ended and said:\n%s", &s.err)
		}
	}
	s := w.startServer(w.serveArgs("--root", mount))
	hung(0, s)
	hang()
	for range 3 {
		hung(1, s)
	}
	w.command("health", "--address", w.addr, "--root", w.root)
	answer()
	w.until(func() error {
		if got, _ := w.scrape().value("sandmeter_runtime_root_hung", "runtime_root", mount); got != 0 {
			return errNot("the root answers")
		}
		return nil
	})

	// A server can be stopped while the root hangs, and one that starts then serves the others.
	hang()
	hung(1, s)
	s.signal(syscall.SIGTERM)
	s.wantEnd(soon, 0)
	s = w.startServer(w.serveArgs("--root", mount))
	hung(1, s)
	s.signal(syscall.SIGTERM)
	s.wantEnd(soon, 0)
	answer()
}

// TestHungOnlyRoot: a server whose only root does not answer runs, and is not ready.
func TestHungOnlyRoot(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	mount, hang, answer := hangable(w, w.root)
	s := startServer(t, serveArgs(mount, w.addr))
	w.until(func() error {
		_, err := net.Dial("unix", w.addr)
		return err
	})
	status := func(path string) int {
		t.Helper()
		client := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", w.addr)
		}}}
		response, err := client.Get("http://localhost" + path)
		w.must(err)
		response.Body.Close()
		return response.StatusCode
	}
	ready := func(want int) {
		t.Helper()
		w.until(func() error {
			w.scrape()
			if got := status("/-/ready"); got != want {
				return fmt.Errorf("/-/ready is %d, want %d", got, want)
			}
			return nil
		})
	}
	ready(http.StatusOK)
	hang()
	ready(http.StatusServiceUnavailable)
	for _, path := range []string{"/-/healthy", "/metrics"} {
		if got := status(path); got != http.StatusOK {
			t.Errorf("%s is %d", path, got)
		}
	}
	w.command("health", "--live", "--address", w.addr, "--root", mount)
	answer()
	ready(http.StatusOK)
	hang()
	ready(http.StatusServiceUnavailable)
	s.signal(syscall.SIGTERM)
	s.wantEnd(soon, 0)
	answer()
}
