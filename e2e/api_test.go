package e2e

import (
	"context"
	"errors"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/runsc"
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

func TestClientOverTCP(t *testing.T) {
	w := newWorld(t)
	w.setAddr(freePort(t))
	w.start("sb", "idle")
	w.serve()
	w.must(w.client.HealthCheck(w.ctx()))
	w.scrape().wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", "sb")
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

func TestClientOfAnotherRoot(t *testing.T) {
	w := newWorld(t)
	w.serve()
	other := metricclient.NewMetricClient(w.addr, "/another/root")
	defer other.Close()
	wrong := new(metricclient.WrongRootError)
	if err := other.HealthCheck(w.ctx()); !errors.As(err, &wrong) || wrong.Got != w.root {
		t.Errorf("health of a server of another root: %v", err)
	}
}

func TestClientReadsMetricData(t *testing.T) {
	w := newWorld(t)
	c := w.container("sb-k8s", "touch", "20")
	c.Annotations = runsc.Pod{Sandbox: c.ID, Name: "nginx", Namespace: "prod"}.Annotations(c.ID)
	w.must(w.node.Run(w.ctx(), c))
	w.start("sb-plain", "idle")
	w.serve()
	w.untilBegun(2)
	begin := time.Now().Add(-time.Second)
	data := w.scrape().raw

	pod := metricclient.WantMetric{Metric: "runsc_fs_opens", Sandbox: "sb-k8s", Pod: "nginx", Namespace: "prod"}
	opens, when, err := data.GetPrometheusContainerInteger(pod)
	if err != nil || opens < 1 || when.Before(begin) || when.After(time.Now().Add(time.Second)) {
		t.Errorf("GetPrometheusContainerInteger(%+v) = %d, %v, %v", pod, opens, when, err)
	}
	any := metricclient.WantMetric{Metric: "runsc_fs_opens", Sandbox: "sb-k8s"}
	if same, _, err := data.GetPrometheusContainerInteger(any); err != nil || same != opens {
		t.Errorf("GetPrometheusContainerInteger(%+v) = %d, %v", any, same, err)
	}
	started := metricclient.WantMetric{Metric: alwaysThere, Sandbox: "sb-plain", ExtraLabels: map[string]string{"entry_point_type": "runsc"}}
	if n, _, err := data.GetPrometheusContainerInteger(started); err != nil || n != 1 {
		t.Errorf("GetPrometheusContainerInteger(%+v) = %d, %v", started, n, err)
	}
	if n, _, err := data.GetPrometheusInteger("runsc_meta_num_sandboxes_running", nil); err != nil || n != 2 {
		t.Errorf("number of sandboxes running = %d, %v", n, err)
	}
	if _, _, err := data.GetPrometheusInteger("runsc_fs_opens", nil); err == nil {
		t.Error("a value for two sandboxes is no error")
	}
	if _, _, err := data.GetPrometheusInteger("runsc_no_such_metric", nil); !errors.Is(err, metricclient.ErrNoSample) {
		t.Errorf("a metric that is not there: %v", err)
	}
	pod.Metric, pod.ExtraLabels = "runsc_meta_sandbox_metadata", map[string]string{"platform": "systrap"}
	if labels, err := data.GetSandboxMetadataMetric(pod); err != nil || labels["platform"] != "systrap" || labels["cpuarch"] == "" {
		t.Errorf("GetSandboxMetadataMetric(%+v) = %v, %v", pod, labels, err)
	}
	if !maps.Equal(pod.ExtraLabels, map[string]string{"platform": "systrap"}) {
		t.Errorf("the caller's labels are now %v", pod.ExtraLabels)
	}
}

func TestClientGivesParametersAndPath(t *testing.T) {
	w := newWorld(t)
	w.start("sb", "idle")
	w.serve()
	f := func(params ...string) {
		t.Helper()
		p := w.scrape(params...)
		if got := p.labels(alwaysThere, "sandbox"); !slices.Equal(got, []string{"sb"}) {
			t.Errorf("%q: sandboxes with values: %q", params, got)
		}
		p.wantNone(t, "runsc_netstack_tcp_current_open")
	}
	f("runsc-sandbox-metrics-filter", "entry_point")
	f("", "/metrics?runsc-sandbox-metrics-filter=entry_point")
	f("", "/metrics%3Frunsc-sandbox-metrics-filter=entry_point")
	f("", "/metrics%3Frunsc-sandbox-metrics-filter=.*", "runsc-sandbox-metrics-filter", "entry_point")
	for _, params := range []map[string]string{{"": "/no/such/path"}, {"runsc-sandbox-metrics-filter": "("}} {
		if data, err := w.client.GetMetrics(w.ctx(), params); err == nil {
			t.Errorf("GetMetrics(%q) is no error, but %q", params, data)
		}
	}
}

func TestClientGivesServerItsSettings(t *testing.T) {
	w := newWorld(t)
	w.start("sb", "idle")
	logs := t.TempDir()
	conf := &config.Config{ServerPath: sandmeter, RootDir: "/untouched", Debug: true, DebugLog: logs + "/"}
	before := *conf
	w.must(w.client.SpawnServer(w.ctx(), conf, "-exporter-prefix=other_"))
	if *conf != before {
		t.Errorf("SpawnServer changed its caller's configuration to %+v", *conf)
	}
	w.scrape().wantValue(t, 1, "other_meta_sandbox_running", "sandbox", "sb")
	w.stop()
	written, err := filepath.Glob(filepath.Join(logs, "*"))
	w.must(err)
	if len(written) != 1 {
		t.Fatalf("logs in the debug log directory: %q", written)
	}
	if text, err := os.ReadFile(written[0]); err != nil || len(text) == 0 {
		t.Errorf("the server's log %s: %q, %v", written[0], text, err)
	}
}

func TestClientHearsOfAServerThatCannotStart(t *testing.T) {
	w := newWorld(t)
	w.setAddr("/nonexistent/metrics.sock")
	err := w.client.SpawnServer(w.ctx(), &config.Config{ServerPath: sandmeter})
	// A wait until the deadline would return the error of the deadline.
	if err == nil || !strings.Contains(err.Error(), "/nonexistent/metrics.sock") || !strings.Contains(err.Error(), "ended: exit status 1") {
		t.Errorf("SpawnServer at an impossible address: %v", err)
	}
}

func TestClientOutlivesItsContext(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	w.must(w.client.SpawnServer(ctx, &config.Config{ServerPath: sandmeter}))
	cancel() // ends the start, not the server
	time.Sleep(100 * time.Millisecond)
	w.must(w.client.HealthCheck(w.ctx()))
	w.stop()
}

func TestClientStartsAgainAfterItsServerWasKilled(t *testing.T) {
	w := newWorld(t)
	w.start("sb", "idle")
	w.serve()
	w.must(unix.Kill(w.serverPid(), unix.SIGKILL))
	w.until(func() error { return w.client.ShutdownServer(w.ctx()) })
	w.serve() // the socket of the dead server still exists
	w.scrape().wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", "sb")
}

// The control socket in a default Docker setup has a path of 109 bytes, and connect(2) takes 107.
func TestRootWithLongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 20))
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	w := newWorldWith(t, runsc.Config{Runsc: realRunsc(t), Program: sandlab, TempDir: dir})
	w.setAddr(freePort(t))
	w.start("sb", "idle")
	w.serve()
	if got := w.scrape().labels(alwaysThere, "sandbox"); !slices.Equal(got, []string{"sb"}) {
		t.Errorf("sandboxes with values: %q", got)
	}
}

// Installed under the name that runsc looks for, sandmeter is `runsc metric-server`.
func TestRunscMetricServer(t *testing.T) {
	check := func(name, program string, install func(w *world) (path string)) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.start("sb", "idle")
			w.must(w.client.SpawnServer(w.ctx(), &config.Config{ServerPath: install(w)}, "-exporter-prefix=runsc_"))
			w.must(w.client.HealthCheck(w.ctx()))
			exe, err := os.Readlink("/proc/" + strconv.Itoa(w.serverPid()) + "/exe")
			if err != nil || filepath.Base(exe) != program {
				t.Errorf("the server is %s, %v", exe, err)
			}
			p := w.scrape()
			p.wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", "sb")
			p.wantValue(t, 1, alwaysThere, "sandbox", "sb")
			w.stop()
		})
	}
	check("of a release", "runsc-metric-server", func(w *world) string {
		return anotherRelease(w.t, filepath.Join(w.node.Dir(), "release"), 1)
	})
	check("in a directory of its own", "sandmeter", func(w *world) string {
		dir := w.t.TempDir()
		w.must(os.Symlink(sandmeter, filepath.Join(dir, "runsc-metric-server")))
		w.t.Setenv("GVISOR_SIDECAR_BINARIES_DIR", dir)
		return realRunsc(w.t)
	})
}
