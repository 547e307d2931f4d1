package e2e

import (
	"io"
	"net"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// A health check whose connection a server took before it was told to end, and whose question came after that: the server is ending, or
// nobody listens any more. That someone else listens is not true.
func TestHealthCheckCutOffByAShutdown(t *testing.T) {
	w := newWorld(t)
	s := w.startServer(w.serveArgs())
	before, err := net.Dial("unix", w.addr)
	w.must(err)
	defer before.Close()
	relay := w.listen("relay.sock")
	relayed := make(chan error, 1)
	go func() { relayed <- relayTo(relay, before) }()
	w.must(w.client.HealthCheck(w.ctx())) // by now the server has taken the connection
	s.signal(syscall.SIGTERM)
	w.until(func() error {
		if err := w.client.HealthCheck(w.ctx()); err == nil {
			return errNot("the server has stopped listening")
		}
		return nil
	})
	if s.hasEnded() {
		t.Fatalf("the server did not wait for the client that was connected; it said:\n%s", &s.err)
	}
	health := newProgram(t, "health", "--server", relay.Addr().String(), "--root", w.node.Root())
	health.exit(t, 1)
	if said := health.err.String(); !regexp.MustCompile("is shutting down|nobody listens").MatchString(said) {
		t.Errorf("health says\n%s", said)
	}
	w.must(<-relayed)
	s.wantEnd(time.Second, 0)
}

// relayTo accepts one connection, the last one, and copies between it and another one until both have nothing more to say.
func relayTo(l net.Listener, server net.Conn) error {
	client, err := l.Accept()
	if err != nil {
		return err
	}
	l.Close()
	defer client.Close()
	done := make(chan error, 1)
	go func() {
		_, err := io.Copy(client, server)
		client.Close() // the server has hung up
		done <- err
	}()
	_, _ = io.Copy(server, client) // ends when client is closed
	return <-done
}
