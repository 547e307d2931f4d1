package web

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

func TestConnectionsOf(t *testing.T) {
	check := func(files uint64, want int) {
		t.Helper()
		if got := connectionsOf(files); got != want {
			t.Errorf("connectionsOf(%d) = %d, want %d", files, got, want)
		}
	}
	check(0, 16)
	check(128, 16)
	check(256, 32)
	check(1024, 128)
	check(8192, 1024)
	check(1<<20, 1024)
	check(1<<64-1, 1024) // no limit

	if got := MaxConnections(); got < minConnections || got > maxConnections {
		t.Errorf("MaxConnections() = %d", got)
	}
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

func TestTLSIsClosedWithoutWaiting(t *testing.T) {
	c := NewConnections(1, new(Counters), slog.New(slog.DiscardHandler))
	client, server := net.Pipe()
	defer client.Close()
	c.Track(&tlsConn{server}, http.StateNew)
	_, other := net.Pipe()
	defer other.Close()
	c.Track(other, http.StateNew)
	if _, err := client.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("the client reads %v, want %v", err, io.EOF)
	}
}

// TestCloseAll checks that CloseAll waits for no connection, idle or busy.
func TestCloseAll(t *testing.T) {
	c := NewConnections(2, new(Counters), slog.New(slog.DiscardHandler))
	var clients []net.Conn
	for _, state := range []http.ConnState{http.StateNew, http.StateActive} {
		client, server := net.Pipe()
		defer client.Close()
		conn := &tlsConn{server}
		c.Track(conn, http.StateNew)
		c.Track(conn, state)
		clients = append(clients, client)
	}
	c.CloseAll()
	for _, client := range clients {
		if _, err := client.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the client reads %v, want %v", err, io.EOF)
		}
	}
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

// TestIdleFlood checks that a server serves other clients, and finishes the request in progress,
// while clients open far more connections than the limit and leave them idle.
func TestIdleFlood(t *testing.T) {
	const most, flood = 4, 100
	started, finish := make(chan bool, 1), make(chan bool)
	mux := http.NewServeMux()
	mux.HandleFunc("/metrics", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "page") })
	mux.HandleFunc("/slow", func(w http.ResponseWriter, _ *http.Request) {
		started <- true
		<-finish
		io.WriteString(w, "slow page")
	})
	listener, err := net.Listen("unix", filepath.Join(testkit.TempDir(t), "s"))
	if err != nil {
		t.Fatal(err)
	}
	connections := NewConnections(most, new(Counters), slog.New(slog.DiscardHandler))
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: mux, ConnState: connections.Track}}
	server.Start()
	defer server.Close()

	dial := func() net.Conn {
		t.Helper()
		conn, err := new(net.Dialer).DialContext(context.Background(), "unix", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		return conn
	}
	request := func(conn net.Conn, path string) {
		t.Helper()
		if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
			t.Fatal(err)
		}
	}
	expect := func(conn net.Conn, want string) {
		t.Helper()
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		if body, err := io.ReadAll(response.Body); err != nil || string(body) != want {
			t.Errorf("the response is %q, %v, want %q", body, err, want)
		}
	}

	busy := dial()
	request(busy, "/slow")
	<-started
	idle := make([]net.Conn, flood)
	for i := range idle {
		idle[i] = dial()
	}
	scraper := dial()
	request(scraper, "/metrics")
	expect(scraper, "page")

	// The scraper's connection was accepted last, so all surplus connections are closed by now: the
	// first ones of the flood, in order.
	for _, conn := range idle[:flood-(most-2)] {
		if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
			t.Errorf("an idle connection reads %d bytes, %v", n, err)
		}
	}
	request(idle[flood-1], "/metrics")
	expect(idle[flood-1], "page")
	close(finish)
	expect(busy, "slow page")
}
