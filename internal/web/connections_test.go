package web

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

func TestLimits(t *testing.T) {
	check := func(files uint64, wantConnections, wantWaits int) {
		t.Helper()
		if got := connectionsOf(files); got != wantConnections || waitsOf(got) != wantWaits {
			t.Errorf("%d files: %d connections, of which %d wait, want %d and %d", files, got, waitsOf(got), wantConnections, wantWaits)
		}
	}
	check(0, 16, 4)
	check(128, 16, 4)
	check(1024, 128, 32)
	check(2048, 256, 64)
	check(8192, 1024, 64)
	check(1<<64-1, 1024, 64) // no limit
}

// A pool is Connections whose connections have names.
type pool struct {
	*testing.T
	*Connections
	log    testkit.Buffer
	byName map[string]*namedConn
	closed []string // names, in the order of closing
}

type namedConn struct {
	net.Conn
	name string
	pool *pool
}

func (c *namedConn) Close() error {
	c.pool.closed = append(c.pool.closed, c.name)
	return c.Conn.Close()
}

func newPool(t *testing.T, most int) *pool {
	p := &pool{T: t, byName: make(map[string]*namedConn)}
	p.Connections = NewConnections(most, new(Counters), slog.New(slog.NewTextHandler(&p.log, nil)))
	return p
}

// becomes sets the state of each of the connections, in this order.
func (p *pool) becomes(state http.ConnState, names ...string) {
	for _, name := range names {
		if p.byName[name] == nil {
			client, server := net.Pipe()
			p.Cleanup(func() { client.Close(); server.Close() })
			p.byName[name] = &namedConn{server, name, p}
		}
		p.Track(p.byName[name], state)
	}
}

// expect checks the names of all connections closed so far, in this order, and the number of open
// ones.
func (p *pool) expect(open int, closed ...string) {
	p.Helper()
	if !slices.Equal(p.closed, closed) {
		p.Errorf("closed are %q, want %q", p.closed, closed)
	}
	if n := p.counters.ConnectionsClosed.Load(); n != int64(len(closed)) {
		p.Errorf("%d are counted as closed, want %d", n, len(closed))
	}
	if len(p.open) != open {
		p.Errorf("%d are open, want %d", len(p.open), open)
	}
}

func TestLongestIdleIsClosed(t *testing.T) {
	p := newPool(t, 3)
	p.becomes(http.StateNew, "a", "b", "c")
	p.expect(3)

	// A connection that has not sent anything is idle from the start.
	p.becomes(http.StateNew, "d")
	p.expect(3, "a")

	// A request makes a connection busy. Its idle time restarts after the request.
	p.becomes(http.StateActive, "b")
	p.becomes(http.StateNew, "e")
	p.expect(3, "a", "c")
	p.becomes(http.StateIdle, "b")
	p.becomes(http.StateNew, "f")
	p.expect(3, "a", "c", "d")
	p.becomes(http.StateNew, "g", "h")
	p.expect(3, "a", "c", "d", "e", "b")
}

func TestBusyConnectionIsNotClosed(t *testing.T) {
	p := newPool(t, 2)
	p.becomes(http.StateNew, "a", "b")
	p.becomes(http.StateActive, "a", "b")
	p.becomes(http.StateNew, "c")
	p.expect(2, "c")
	p.becomes(http.StateIdle, "b")
	p.becomes(http.StateNew, "d")
	p.expect(2, "c", "b")
}

// TestConnectionsAreForgotten checks that connections are forgotten after they are closed,
// hijacked, or closed because of the limit.
func TestConnectionsAreForgotten(t *testing.T) {
	p := newPool(t, 2)
	p.becomes(http.StateNew, "a", "b")
	p.becomes(http.StateClosed, "a")
	p.becomes(http.StateActive, "b")
	p.becomes(http.StateHijacked, "b")
	p.expect(0)
	p.becomes(http.StateNew, "c", "d", "e")
	p.expect(2, "c")

	// The server has not noticed yet that c is closed.
	p.becomes(http.StateActive, "c")
	p.becomes(http.StateIdle, "c")
	p.becomes(http.StateClosed, "c", "c")
	p.expect(2, "c")
	if p.idle.Len() != 2 {
		t.Errorf("%d connections are idle, want 2", p.idle.Len())
	}
}

// tlsConn behaves like a *tls.Conn, whose Close may block.
type tlsConn struct{ net.Conn }

func (tlsConn) Close() error        { return errors.New("this would wait for the client") }
func (c tlsConn) NetConn() net.Conn { return c.Conn }

// TestClosing checks that a connection is closed without waiting for its client, because of the limit and at
// the end, idle or busy.
func TestClosing(t *testing.T) {
	c := NewConnections(2, new(Counters), slog.New(slog.DiscardHandler))
	var clients []net.Conn
	for _, state := range []http.ConnState{http.StateNew, http.StateActive, http.StateIdle} {
		client, server := net.Pipe()
		defer client.Close()
		conn := &tlsConn{server}
		c.Track(conn, http.StateNew)
		c.Track(conn, state)
		clients = append(clients, client)
	}
	isClosed := func(client net.Conn) {
		t.Helper()
		_ = client.SetReadDeadline(time.Now().Add(time.Second))
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the client reads %v, want %v", err, io.EOF)
		}
	}
	isClosed(clients[0])
	c.CloseIdle()
	isClosed(clients[2])
	c.CloseAll()
	isClosed(clients[1])
}

// TestLogOfClosedConnections checks that there is one log line per minute, with the number of
// connections closed since the last line.
func TestLogOfClosedConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, 1)
		flood := func(connections int) {
			for range connections {
				p.becomes(http.StateNew, fmt.Sprint(len(p.byName)))
			}
		}
		expect := func(want ...string) {
			t.Helper()
			var got []string
			for line := range strings.Lines(p.log.String()) {
				if _, attributes, found := strings.Cut(line, `leave them idle" `); found && strings.Contains(line, "level=WARN") {
					got = append(got, strings.TrimSpace(attributes))
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("the log is\n%s\nwant lines with %q", p.log.String(), want)
			}
		}
		flood(1)
		expect()
		flood(1)
		expect("limit=1 closed=1")
		flood(10)
		time.Sleep(logInterval - time.Millisecond)
		flood(10)
		expect("limit=1 closed=1")
		time.Sleep(time.Millisecond)
		flood(1)
		expect("limit=1 closed=1", "limit=1 closed=21")
	})
}
