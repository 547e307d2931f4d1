package main

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/cli"
)

// notifications makes this process one that systemd listens to.
func (w *world) notifications() *net.UnixConn {
	w.Helper()
	path := w.path("notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	w.must(err)
	w.Cleanup(func() { conn.Close() })
	w.Setenv("NOTIFY_SOCKET", path)
	return conn
}

// TestServeTellsSystemd: systemd learns that serve is ready when it listens, and not before.
func TestServeTellsSystemd(t *testing.T) {
	w := newWorld(t)
	conn := w.notifications()
	s := w.serve("serve --root {root} --web.listen-address {socket}")
	w.must(conn.SetReadDeadline(time.Now().Add(ample)))
	message := make([]byte, 100)
	n, err := conn.Read(message)
	w.must(err)
	if got := string(message[:n]); got != "READY=1" {
		t.Errorf("systemd is told %q", got)
	}
	if code, out, err := w.command("health --root {root} --address {socket}"); code != cli.ExitOK {
		t.Errorf("health exits with %d and says\n%s%s", code, out, err)
	}
	s.stop()
}

// TestMetricServerTellsSystemdNothing: the service that started it has told systemd about itself.
func TestMetricServerTellsSystemdNothing(t *testing.T) {
	w := newWorld(t)
	conn := w.notifications()
	s := w.serve("--root={root} --metric-server={socket} metric-server")
	s.stop()
	w.must(conn.SetReadDeadline(time.Now()))
	if n, err := conn.Read(make([]byte, 100)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("systemd is told something: %d bytes, %v", n, err)
	}
}

// TestServeWithoutSystemd: a NOTIFY_SOCKET that nobody reads, as in a shell that a service has started,
// does not keep the server from serving.
func TestServeWithoutSystemd(t *testing.T) {
	w := newWorld(t)
	t.Setenv("NOTIFY_SOCKET", w.path("missing"))
	s := w.serve("serve --root {root} --web.listen-address {socket}")
	s.stop()
	contains(t, s.err.String(), "Cannot tell systemd that the server listens")
}
