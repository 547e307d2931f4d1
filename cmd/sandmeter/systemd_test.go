package main

import (
	"errors"
	"net"
	"os"
	"testing"
	"time"
)

// TestTellsSystemd: systemd learns that serve is ready when it listens, and not before. metric-server says
// nothing, because the service that started it has told systemd about itself.
func TestTellsSystemd(t *testing.T) {
	w := newWorld(t)
	path := w.path("notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	w.must(err)
	defer conn.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	message := make([]byte, 100)
	w.serve("--root={root} --metric-server={socket} metric-server").stop()
	w.must(conn.SetReadDeadline(time.Now()))
	if n, err := conn.Read(message); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("metric-server says %q, %v", message[:n], err)
	}
	s := w.serve("serve --root {root} --web.listen-address {socket}")
	w.must(conn.SetReadDeadline(time.Now().Add(ample)))
	if n, err := conn.Read(message); err != nil || string(message[:n]) != "READY=1" {
		t.Errorf("serve says %q, %v", message[:n], err)
	}
	s.stop()

	// A NOTIFY_SOCKET that nobody reads, as in a shell that a service has started, is no reason to fail.
	t.Setenv("NOTIFY_SOCKET", w.path("missing"))
	s = w.serve("serve --root {root} --web.listen-address {socket}")
	s.stop()
	contains(t, s.err.String(), "Cannot tell systemd that the server listens")
}
