package e2e

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/metricclient"
)

// serverPid returns the process ID that the server reports.
func (w *world) serverPid() int {
	w.t.Helper()
	text, err := w.client.GetMetrics(w.ctx(), map[string]string{"": "/runsc-metrics/pid"})
	w.must(err)
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	w.must(err)
	return pid
}

func TestClientLifeOfAServer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.setAddr("%RUNTIME_ROOT%/metrics.sock")
	w.start("sb", "idle")
	if err := w.client.HealthCheck(w.ctx()); !errors.Is(err, metricclient.ErrNotListening) {
		t.Errorf("health before there is a server: %v", err)
	}
	w.serve()
	w.must(w.client.HealthCheck(w.ctx()))
	pid := w.serverPid()
	if err := w.client.SpawnServer(w.ctx(), &config.Config{ServerPath: sandmeter}); err == nil {
		t.Error("a second server was started")
	}
	w.scrape().wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", "sb")
	w.stop()
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
		t.Errorf("the server's process after ShutdownServer: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(w.root, "metrics.sock")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the server's socket after ShutdownServer: %v", err)
	}
	if err := w.client.ShutdownServer(w.ctx()); err == nil {
		t.Error("ShutdownServer without a server is no error")
	}
	if _, err := w.client.GetMetrics(w.ctx(), nil); err == nil {
		t.Error("GetMetrics without a server is no error")
	}
	w.serve()
	w.must(w.client.HealthCheck(w.ctx()))
}

// freePort returns a TCP address on this machine on which nothing listens.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestRunscMetricServer: installed under the name that runsc looks for, sandmeter is `runsc metric-server`.
func TestRunscMetricServer(t *testing.T) {
	w := newWorld(t)
	w.start("sb", "idle")
	check := func(runsc, program string) {
		t.Helper()
		w.must(w.client.SpawnServer(w.ctx(), &config.Config{ServerPath: runsc}, "-exporter-prefix=runsc_"))
		exe, err := os.Readlink("/proc/" + strconv.Itoa(w.serverPid()) + "/exe")
		if err != nil || filepath.Base(exe) != program {
			t.Errorf("the server is %s, %v", exe, err)
		}
		w.scrape().wantLives(t, []string{"sb"}, nil)
		w.stop()
	}
	check(anotherRelease(t, filepath.Join(w.node.Dir(), "release"), 1), "runsc-metric-server")
	dir := t.TempDir()
	w.must(os.Symlink(sandmeter, filepath.Join(dir, "runsc-metric-server")))
	t.Setenv("GVISOR_SIDECAR_BINARIES_DIR", dir)
	check(realRunsc(t), "sandmeter")
}
