package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// TestMetricServer checks the forms of runsc's own command line.
func TestMetricServer(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "ours", MetricServer: w.socket})
	w.start(simulate.Spec{ID: "other", MetricServer: "localhost:1"})
	w.start(simulate.Spec{ID: "silent", Uninstrumented: true})
	serves := func(line string, wanted ...string) {
		t.Helper()
		s := w.serve(line)
		page := s.page()
		contains(t, page, wanted...)
		for _, id := range []string{"other", "silent"} {
			if strings.Contains(page, `sandbox="`+id+`"`) {
				t.Errorf("%s: %s is served", line, id)
			}
		}
		if code := s.stop(); code != cli.ExitOK || s.out.String() != "" {
			t.Errorf("%s: exits with %d and says %q", line, code, s.out.String())
		}
		contains(t, s.err.String(), "msg=Serving root="+w.root+` sandboxes="sandboxes created with --metric-server=`+w.socket+`"`,
			`msg="Metric server stopped"`)
	}
	const usual, prefixed = "\nrunsc_fs_opens{", "\nx_fs_opens{"

	serves("--root={root} --metric-server={socket} metric-server", usual)
	serves("-root {root} -metric-server {socket} -- metric-server -allow-unknown-root=F --", usual)
	// Unknown flags are ignored.
	serves("--platform=systrap --root={dir}/missing --root={root} --network none -ignore-cgroups --metric-server={socket} --ignore-cgroups metric-server", usual)
	// Flags of the server come after the word.
	serves("--root={root} --metric-server={socket} metric-server -exporter-prefix x_", prefixed)
	serves("--root={root} --metric-server={socket} metric-server --exporter-prefix=x_ -allow-unknown-root", prefixed)
	serves("--root={root} --metric-server={socket} metric-server -exporter-prefix=", "\nfs_opens{")
}

func TestMetricServerRoot(t *testing.T) {
	w := newWorld(t)
	s := w.serve("--root={dir}/missing --metric-server={socket} metric-server -allow-unknown-root")
	contains(t, s.page(), "runsc_meta_num_sandboxes_running 0 ")
	s.stop()
	t.Setenv("XDG_RUNTIME_DIR", w.dir)
	w.root = w.path("runsc")
	w.must(os.Mkdir(w.root, 0o755))
	w.start(simulate.Spec{ID: "a", MetricServer: w.socket})
	contains(t, w.serve("--metric-server={socket} metric-server").page(), `sandbox="a"`)
}

// TestMetricServerVariables: environment variables set flags that runsc's own parser rejects.
func TestMetricServerVariables(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "a", MetricServer: w.socket})
	pidFile := filepath.Join(t.TempDir(), "pid")
	t.Setenv("SANDMETER_PID_FILE", pidFile)
	t.Setenv("SANDMETER_WEB_SOCKET_MODE", "0600")
	t.Setenv("SANDMETER_EXPORTER_PREFIX", "never_")
	s := w.serve("--root={root} --metric-server={socket} metric-server -exporter-prefix=x_")
	contains(t, s.page(), "\nx_fs_opens{")
	if info, err := os.Lstat(w.socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	if got, err := os.ReadFile(pidFile); err != nil || string(got) != fmt.Sprint(os.Getpid()) {
		t.Errorf("the PID file has %q, %v", got, err)
	}
	s.stop()
	if _, err := os.Stat(pidFile); !os.IsNotExist(err) {
		t.Errorf("the PID file is left behind: %v", err)
	}
	t.Setenv("SANDMETER_SANDBOX_TIMEOUT", "soon")
	w.fails("--root={root} --metric-server={socket} metric-server", cli.ExitUsage, `SANDMETER_SANDBOX_TIMEOUT "soon": give a number with a unit, such as 2s or 500ms`)
}
