package metricclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

const testRoot = "/run/runsc"

// serving returns a client for testRoot of a server with this handler.
func serving(t testing.TB, handler http.HandlerFunc) *MetricClient {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return NewMetricClient(server.Listener.Addr().String(), testRoot)
}

// responding returns a client of a server that responds to each request with a status and a body.
func responding(t testing.TB, status int, body string) *MetricClient {
	t.Helper()
	return serving(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, body)
	})
}

// listening returns a client for testRoot of a Unix socket listener. The listener calls serve for
// each connection and then closes the connection.
func listening(t testing.TB, serve func(net.Conn)) *MetricClient {
	t.Helper()
	addr := filepath.Join(testkit.TempDir(t), "s")
	listener, err := net.Listen("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serve(conn)
			conn.Close()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		<-ended
	})
	return NewMetricClient(addr, testRoot)
}

// saying returns a serve function that sends text regardless of the request.
func saying(text string) func(net.Conn) {
	return func(conn net.Conn) {
		_, _ = conn.Read(make([]byte, 64<<10))
		_, _ = io.WriteString(conn, text)
	}
}

func TestHealthCheckOfAHealthyServer(t *testing.T) {
	for _, body := range []string{"runsc-metrics:OK", "runsc-metrics:OK\n"} {
		c := serving(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodPost || r.URL.Path != healthPath || r.PostFormValue("root") != testRoot {
				t.Errorf("asked %s %s for root %q", r.Method, r.URL, r.PostFormValue("root"))
			}
			io.WriteString(w, body)
		})
		if err := c.HealthCheck(t.Context()); err != nil {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestHealthCheckErrors(t *testing.T) {
	reasons := []error{ErrNotListening, ErrNotMetricServer, ErrShuttingDown}
	f := func(name string, c *MetricClient, want error, texts ...string) {
		t.Run(name, func(t *testing.T) {
			err := c.HealthCheck(t.Context())
			wantError(t, err, want, append(texts, c.addr)...)
			for _, other := range reasons {
				if other != want && errors.Is(err, other) {
					t.Errorf("it is also %q: %v", other, err)
				}
			}
			if errors.As(err, new(*WrongRootError)) {
				t.Errorf("it is also a WrongRootError: %v", err)
			}
		})
	}
	file := func(name string) string {
		path := filepath.Join(testkit.TempDir(t), name)
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	client := func(addr string) *MetricClient { return NewMetricClient(addr, testRoot) }
	status := func(code int, body string) *MetricClient { return responding(t, code, body) }

	f("socket missing", client(testkit.TempDir(t)+"/s"), ErrNotListening)
	f("socket stale", client(staleSocket(t)), ErrNotListening)
	f("port free", client(freePort(t)), ErrNotListening)

	f("a file", client(file("f")), ErrNotMetricServer, "not a socket")
	f("a datagram socket", client(datagramSocket(t)), ErrNotMetricServer)
	f("closes at once", listening(t, func(net.Conn) {}), ErrNotMetricServer)
	f("not HTTP", listening(t, saying("\x1b[31mhi\x07\n")), ErrNotMetricServer, `\x1b[31mhi`)
	f("endless header", listening(t, saying("HTTP/1.1 200 OK\r\nA: "+strings.Repeat("a", 1<<20))), ErrNotMetricServer)
	f("endless body", status(200, strings.Repeat("runsc-metrics:OK", 10_000)), ErrNotMetricServer)
	f("another page", status(200, "<html>\x1b[31m\nmore"), ErrNotMetricServer, `200 OK: <html>\x1b[31m`)
	f("nothing", status(200, ""), ErrNotMetricServer, "(nothing)")
	f("right body, wrong status", status(201, "runsc-metrics:OK"), ErrNotMetricServer, "201 Created")
	f("another 400", status(400, "bad request\n"), ErrNotMetricServer, "400 Bad Request: bad request")
	f("status text of its own", listening(t, saying("HTTP/1.1 404 \x1b[31m\r\nContent-Length: 0\r\n\r\n")), ErrNotMetricServer)
	f("redirect", serving(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == healthPath {
			http.Redirect(w, r, "/good", http.StatusTemporaryRedirect)
			return
		}
		io.WriteString(w, "runsc-metrics:OK")
	}), ErrNotMetricServer, "307 Temporary Redirect")

	f("shutting down", status(503, "server is shutting down\n"), ErrShuttingDown)
	f("overloaded", status(503, "<html>no upstream"), ErrNotMetricServer, "503 Service Unavailable: <html>no upstream")

	f("path too long", client("/"+strings.Repeat("x", 200)), nil, "the path is 201 bytes long")
	f("no port", client("127.0.0.1"), nil, "missing port")
}

func TestHealthCheckNamesTheOtherRoot(t *testing.T) {
	f := func(body, want, text string) {
		t.Helper()
		c := serving(t, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, otherRoot+body, http.StatusBadRequest) })
		err := c.HealthCheck(t.Context())
		wantError(t, err, nil, text, testRoot)
		wrong := new(WrongRootError)
		if !errors.As(err, &wrong) || wrong.Got != want || wrong.Want != testRoot {
			t.Errorf("%q: got %#v", body, wrong)
		}
		for _, other := range []error{ErrNotListening, ErrNotMetricServer, ErrShuttingDown} {
			if errors.Is(err, other) {
				t.Errorf("%q: it is also %q", body, other)
			}
		}
	}
	f("/var/run/runsc\n", "/var/run/runsc", "/var/run/runsc") // recorded response: two newlines
	f("/a b\x1b[31m", "/a b\x1b[31m", `/a b\x1b[31m`)
	f("", "", "another root: ,")
}

// TestHealthCheckKnowsTheRootHoweverItIsWritten covers spellings of the root: servers compare the
// root from runsc without cleaning it.
func TestHealthCheckKnowsTheRootHoweverItIsWritten(t *testing.T) {
	f := func(served, asked string) {
		t.Helper()
		server := httptest.NewServer(fakeHandler(served, 1))
		defer server.Close()
		if err := NewMetricClient(server.Listener.Addr().String(), asked).HealthCheck(t.Context()); err != nil {
			t.Errorf("%q serves %q: %v", served, asked, err)
		}
	}
	f("/run/runsc", "/run/runsc/")
	f("/run/runsc/", "/run/runsc")
	f("/run/runsc/", "/run/runsc/")
	f("/run//runsc/.", "/run/x/../runsc")
	f("runsc/", "./runsc")
}

// TestFullBacklogIsWaitedFor covers full backlogs: a dial fails at once on a Unix socket and waits
// on TCP.
func TestFullBacklogIsWaitedFor(t *testing.T) {
	path := filepath.Join(testkit.TempDir(t), "s")
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: path}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	first, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	c := NewMetricClient(path, testRoot)
	wantError(t, c.HealthCheck(ctx), context.DeadlineExceeded)
	c.Close() // ends the dial, which net/http would otherwise wait for
}

func TestHealthCheckGivesUp(t *testing.T) {
	f := func(name, head string) {
		t.Run(name, func(t *testing.T) {
			c := stalling(t, head)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			err := c.HealthCheck(ctx)
			wantError(t, err, context.DeadlineExceeded)
			if errors.Is(err, ErrNotMetricServer) || errors.Is(err, ErrNotListening) {
				t.Errorf("a stall proves nothing: %v", err)
			}
			ctx, cancel = context.WithCancel(t.Context())
			time.AfterFunc(10*time.Millisecond, cancel)
			wantError(t, c.HealthCheck(ctx), context.Canceled)
		})
	}
	f("no answer", "")
	f("half an answer", "HTTP/1.1 200 OK\r\nContent-Length: 16\r\n\r\nrunsc-")
	inTime(t, &registerServer{hangs: true}, func(c *MetricClient) { // by itself
		began := time.Now()
		wantError(t, c.HealthCheck(context.Background()), context.DeadlineExceeded)
		if took := time.Since(began); took != healthTimeout {
			t.Errorf("it took %v", took)
		}
	})
}

// TestHealthCheckOpensANewConnection replaces the server at an address while a connection to the
// first server could be kept alive.
func TestHealthCheckOpensANewConnection(t *testing.T) {
	addr := filepath.Join(testkit.TempDir(t), "s")
	c := NewMetricClient(addr, testRoot)
	for i := range 2 {
		listener, err := net.Listen("unix", addr)
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewUnstartedServer(fakeHandler(fmt.Sprint("/root/", i), 1))
		server.Listener = listener
		server.Start()
		defer server.Close()
		wrong := new(WrongRootError)
		if err := c.HealthCheck(t.Context()); !errors.As(err, &wrong) || wrong.Got != fmt.Sprint("/root/", i) {
			t.Errorf("server %d: %v", i, err)
		}
		if err := os.Remove(addr); err != nil {
			t.Fatal(err)
		}
	}
}

// staleSocket returns the path of a Unix socket without a listener.
func staleSocket(t testing.TB) string {
	t.Helper()
	addr := filepath.Join(testkit.TempDir(t), "s")
	listener, err := net.Listen("unix", addr)
	if err != nil {
		t.Fatal(err)
	}
	listener.(*net.UnixListener).SetUnlinkOnClose(false)
	listener.Close()
	return addr
}

func datagramSocket(t testing.TB) string {
	t.Helper()
	addr := filepath.Join(testkit.TempDir(t), "s")
	conn, err := net.ListenPacket("unixgram", addr)
	if errors.Is(err, syscall.EPROTONOSUPPORT) {
		t.Skip("no datagram sockets here")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return addr
}

// freePort returns a TCP address without a listener.
func freePort(t testing.TB) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener.Close()
	return listener.Addr().String()
}
