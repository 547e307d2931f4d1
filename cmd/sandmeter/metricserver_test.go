package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/sandboxtest"
)

// TestMetricServer: the form of runsc's own command line.
func TestMetricServer(t *testing.T) {
	w := newWorld(t)
	w.start(sandboxtest.Spec{ID: "ours", MetricServer: w.socket})
	w.start(sandboxtest.Spec{ID: "other", MetricServer: "localhost:1"})
	w.start(sandboxtest.Spec{ID: "silent", Uninstrumented: true})
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
		if code := s.stop(); code != exitOK || s.out.String() != "" {
			t.Errorf("%s: exits with %d and says %q", line, code, s.out.String())
		}
		contains(t, s.err.String(), "msg=Serving root="+w.root+` sandboxes="sandboxes created with --metric-server=`+w.socket+`"`,
			`msg="Metric server ends, as it was told"`)
	}
	const usual, prefixed = "\nrunsc_fs_opens{", "\nx_fs_opens{"

	// runsc's flags before the word, with one dash or two, and the value in the same word or in the next one.
	serves("--root=ROOT --metric-server=SOCKET metric-server", usual)
	serves("-root=ROOT -metric-server=SOCKET metric-server", usual)
	serves("--root ROOT --metric-server SOCKET metric-server", usual)
	serves("-root ROOT -metric-server SOCKET metric-server", usual)
	serves("--root=DIR/missing --root=ROOT --metric-server=SOCKET metric-server", usual)

	// Those that are not ours are let pass.
	serves("--platform=systrap --root=ROOT --network none -ignore-cgroups --metric-server=SOCKET --rootless=false --overlay2=root:self metric-server", usual)
	serves("--root=ROOT --metric-server=SOCKET --platform systrap metric-server", usual)
	serves("--root=ROOT --metric-server=SOCKET --ignore-cgroups metric-server", usual)
	serves("--root=ROOT --metric-server=SOCKET -- metric-server", usual)

	// Our own stand behind the word.
	serves("--root=ROOT --metric-server=SOCKET metric-server -exporter-prefix=x_", prefixed)
	serves("--root=ROOT --metric-server=SOCKET metric-server --exporter-prefix=x_", prefixed)
	serves("--root=ROOT --metric-server=SOCKET metric-server -exporter-prefix x_", prefixed)
	serves("--root=ROOT --metric-server=SOCKET metric-server --exporter-prefix x_ -allow-unknown-root", prefixed)
	serves("--root=ROOT --metric-server=SOCKET metric-server -exporter-prefix=", "\nfs_opens{")
	serves("--root=ROOT --metric-server=SOCKET metric-server -allow-unknown-root=false", usual)
	serves("--root=ROOT --metric-server=SOCKET metric-server -allow-unknown-root=F --", usual)
}

func TestMetricServerAddress(t *testing.T) {
	w := newWorld(t)
	w.socket = filepath.Join(w.root, "metrics.sock")
	w.start(sandboxtest.Spec{ID: "named", MetricServer: w.socket})
	w.start(sandboxtest.Spec{ID: "expands", MetricServer: "%RUNTIME_ROOT%/metrics.sock"})
	w.start(sandboxtest.Spec{ID: "longer", MetricServer: w.socket + "x"})
	for _, address := range []string{"SOCKET", "%RUNTIME_ROOT%/metrics.sock"} {
		s := w.serve("--root=ROOT --metric-server=" + address + " metric-server")
		page := s.page()
		contains(t, page, `sandbox="named"`, `sandbox="expands"`)
		if strings.Contains(page, "longer") {
			t.Errorf("--metric-server=%s serves an address that it only begins", address)
		}
		s.stop()
	}
}

func TestMetricServerDefaultRoot(t *testing.T) {
	w := newWorld(t)
	t.Setenv("XDG_RUNTIME_DIR", w.dir)
	w.root = w.path("runsc")
	w.must(os.Mkdir(w.root, 0o755))
	w.start(sandboxtest.Spec{ID: "a", MetricServer: w.socket})
	contains(t, w.serve("--metric-server=SOCKET metric-server").page(), `sandbox="a"`)
}

func TestMetricServerWithoutRoot(t *testing.T) {
	w := newWorld(t)
	for _, flag := range []string{"-allow-unknown-root", "--allow-unknown-root", "-allow-unknown-root=true", "-allow-unknown-root=1"} {
		s := w.serve("--root=DIR/missing --metric-server=SOCKET metric-server " + flag)
		contains(t, s.page(), "runsc_meta_num_sandboxes_running 0 ")
		s.stop()
	}
}

// TestMetricServerLogs: whoever names a folder for debug logs finds the server's log there.
func TestMetricServerLogs(t *testing.T) {
	w := newWorld(t)
	w.start(sandboxtest.Spec{ID: "broken", MetricServer: w.socket, NoSocket: true})
	s := w.serve("--debug --debug-log=DIR/logs/ --log=DIR/errors/log --log-format=json --root=ROOT --metric-server=SOCKET metric-server")
	s.page()
	if code := s.stop(); code != exitOK || s.err.String() != "" || s.out.String() != "" {
		t.Errorf("it exits with %d and says %q, %q", code, s.out.String(), s.err.String())
	}
	var messages []string
	log := w.theFile(w.path("logs"))
	for line := range strings.Lines(log) {
		var record struct{ Msg string }
		w.must(json.Unmarshal([]byte(line), &record))
		messages = append(messages, record.Msg)
	}
	if got, want := strings.Join(messages, ", "), "Serving, Sandbox has no metrics, Metric server ends, as it was told"; got != want {
		t.Errorf("the log says %s, want %s", got, want)
	}
	if errors := w.theFile(w.path("errors")); errors != "" {
		t.Errorf("the log of errors has\n%s", errors)
	}
}

// TestMetricServerLogsWhyItEnds, beside saying so, unless that is the same place.
func TestMetricServerLogsWhyItEnds(t *testing.T) {
	w := newWorld(t)
	const why = "read runtime root DIR/missing: no such file or directory; --root names the runtime root, --allow-unknown-root allows it to be missing"
	w.fails("--debug-log=DIR/debug/ --log=DIR/errors/log --root=DIR/missing --metric-server=SOCKET metric-server", exitFail, why)
	for _, dir := range []string{"debug", "errors"} {
		contains(t, w.theFile(w.path(dir)), `level=ERROR msg="Metric server ends" err="`+strings.ReplaceAll(why, "DIR", w.dir)+`"`)
	}
}
