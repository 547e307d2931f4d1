package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/sandmeter/sandmeter/internal/cli"
)

// hangUp sends SIGHUP to this process, in which the server runs.
func (s *service) hangUp() {
	s.Helper()
	s.must(syscall.Kill(os.Getpid(), syscall.SIGHUP))
}

// TestServeIgnoresHangup: serve logs SIGHUP and goes on.
func TestServeIgnoresHangup(t *testing.T) {
	w := newWorld(t)
	s := w.serve("serve --root {root} --web.listen-address {socket}")
	s.hangUp()
	const line = `level=INFO msg="Signal ignored: no configuration to reload" signal=hangup`
	s.until("it says that it takes no notice", func() bool { return strings.Contains(s.err.String(), line) })
	s.page()
	if code := s.stop(); code != cli.ExitOK {
		t.Errorf("it exits with %d", code)
	}
}

// TestMetricServerEndsAtHangup: metric-server shuts down cleanly on SIGHUP.
func TestMetricServerEndsAtHangup(t *testing.T) {
	w := newWorld(t)
	s := w.serve("--root={root} --metric-server={socket} metric-server --pid-file={dir}/pid")
	s.hangUp()
	<-s.ended
	if s.code != cli.ExitOK {
		t.Errorf("it exits with %d", s.code)
	}
	contains(t, s.err.String(), `level=INFO msg="Metric server stopped" signal=hangup`)
	for _, path := range []string{w.socket, w.path("pid")} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left behind: %v", path, err)
		}
	}
}
