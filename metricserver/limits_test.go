package metricserver

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

// closedByServer fails the test unless the server closes a connection without sending anything.
func (r *run) closedByServer(c net.Conn) {
	r.Helper()
	r.must(c.SetReadDeadline(time.Now().Add(ample)))
	n, err := io.Copy(io.Discard, c)
	if timeout := net.Error(nil); n > 0 || errors.As(err, &timeout) && timeout.Timeout() {
		r.Errorf("the server does not close the connection: it says %d bytes, %v", n, err)
	}
}

// TestHeaderTimeout: the server closes a connection whose request or handshake does not complete in
// time.
func TestHeaderTimeout(t *testing.T) {
	onEachTransport(t, func(w *world, o Options) {
		s := w.server(o)
		s.limits.header = 100 * time.Millisecond
		r := w.run(s)
		var c *conn
		testkit.Until(w, "a handshake is in time", func() (inTime bool) {
			var err error
			c, err = r.tryDial()
			return err == nil
		})
		_, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: loc")
		if err == nil { // otherwise the server has already closed it
			r.closedByServer(c)
		}
		if r.tls == nil {
			return
		}
		raw, err := net.Dial(r.addr.Network(), r.addr.String())
		w.must(err)
		defer raw.Close()
		_, err = raw.Write([]byte{0x16, 0x03, 0x01}) // the start of a handshake
		w.must(err)
		r.closedByServer(raw)
	})
}

// TestIdleTimeout: the server closes idle connections.
func TestIdleTimeout(t *testing.T) {
	onEachTransport(t, func(w *world, o Options) {
		s := w.server(o)
		s.limits.idle = 100 * time.Millisecond
		r := w.run(s)
		c := r.dial()
		r.exchange(c)
		r.closedByServer(c)
	})
}

// exchange sends a request on a connection and reads the response.
func (r *run) exchange(c *conn) {
	r.Helper()
	r.must(c.request("/-/healthy"))
	if response, _, err := c.response(); err != nil || response.StatusCode != http.StatusOK {
		r.Errorf("the response is %v, %v", response, err)
	}
}

// TestConnectionLimit: all listeners share one limit. An idle connection makes room for a new
// connection, even on another listener.
func TestConnectionLimit(t *testing.T) {
	onEachTransport(t, func(w *world, o Options) {
		o.Addresses = append(o.Addresses, "127.0.0.1:0", w.path("other"))
		s := w.server(o)
		s.limits.connections = 4
		r := w.run(s)
		var conns []net.Conn
		for i := range 4 {
			r.addr = r.addrs[i%3]
			c := r.dial()
			r.exchange(c)
			conns = append(conns, c)
		}
		r.addr = r.addrs[1]
		r.exchange(r.dial())
		closed := make(chan error, len(conns))
		for _, c := range conns {
			w.must(c.SetReadDeadline(time.Now().Add(ample)))
			go func() {
				_, err := c.Read(make([]byte, 1))
				closed <- err
			}()
		}
		if err := <-closed; errors.Is(err, os.ErrDeadlineExceeded) {
			w.Errorf("all connections are kept: %v", err)
		}
	})
}

// TestListeners: the server serves on each of several listeners, and closes all of them when it
// ends.
func TestListeners(t *testing.T) {
	w := newWorld(t)
	r := w.run(w.server(Options{Addresses: []string{w.path("a"), "127.0.0.1:0", "%RUNTIME_ROOT%/b", "127.0.0.1:0"}}))
	if len(r.addrs) != 4 || r.addrs[0].String() != w.path("a") || r.addrs[2].String() != w.root+"/b" {
		t.Errorf("it listens on %v", r.addrs)
	}
	for _, addr := range r.addrs {
		r.addr = addr
		r.exchange(r.dial())
	}
	w.must(r.stop())
	for _, addr := range r.addrs {
		if c, err := net.Dial(addr.Network(), addr.String()); err == nil {
			c.Close()
			t.Errorf("something listens on %v", addr)
		}
	}
	w.nothingAt(w.path("a"))
	w.nothingAt(w.root + "/b")
}

// TestAllListenersOrNone: if the server cannot listen on one address, it closes the other
// listeners.
func TestAllListenersOrNone(t *testing.T) {
	w := newWorld(t)
	inUse, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	defer inUse.Close()
	w.refused(Options{Addresses: []string{w.path("a"), inUse.Addr().String(), w.path("b")}},
		fmt.Sprintf("listen on %v: bind: address already in use: end the program that listens there, or choose another address", inUse.Addr()))
	w.nothingAt(w.path("a"))
	w.nothingAt(w.path("b"))
}

// TestOneListenerFails: if one listener fails, the server ends and does not keep serving on the
// others.
func TestOneListenerFails(t *testing.T) {
	w := newWorld(t)
	var listeners []net.Listener
	for range 2 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		w.must(err)
		listeners = append(listeners, l)
	}
	w.must(listeners[1].Close())
	if err := w.server(Options{}).Serve(t.Context(), listeners...); !errors.Is(err, net.ErrClosed) {
		t.Errorf("it ends with %v", err)
	}
	if _, err := listeners[0].Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the other listener is open: %v", err)
	}
	if err := w.server(Options{}).Serve(t.Context()); err == nil || err.Error() != "no listener to serve on" {
		t.Errorf("without a listener: %v", err)
	}
}
