package metricserver

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// ample is a timeout that no step reaches unless it hangs.
const ample = 20 * time.Second

// world is a directory that contains a runtime root and sockets.
type world struct {
	*testing.T
	dir  string
	root string

	clientTLS *tls.Config // for servers with a WebConfigFile; nil: no TLS
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := testkit.TempDir(t)
	w := &world{T: t, dir: dir, root: filepath.Join(dir, "root")}
	w.must(os.Mkdir(w.root, 0o755))
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// path returns a path in the directory.
func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// start starts a sandbox.
func (w *world) start(spec simulate.Spec) *simulate.Sandbox {
	w.Helper()
	return testkit.Start(w, w.root, spec)
}

// server returns a server of the world's runtime root.
func (w *world) server(o Options) *Server {
	w.Helper()
	if o.Roots == nil {
		o.Roots = []string{w.root}
	}
	if o.SandboxTimeout == 0 {
		o.SandboxTimeout = ample // so that replies are in time on a slow machine
	}
	s, err := New(o)
	w.must(err)
	return s
}

// run is a running server.
type run struct {
	*world
	addr  net.Addr    // the first of addrs
	addrs []net.Addr  // the listen addresses
	tls   *tls.Config // nil: no TLS

	receiveBuffer int // for connections of dial; 0: the default of the kernel
	client        *http.Client
	cancel        context.CancelFunc
	ended         chan struct{} // closed when Run has returned
	err           error         // the error from Run
}

// run runs a server until the test ends, and returns when the server listens. Without listeners,
// the server creates its own.
func (w *world) run(s *Server, listeners ...net.Listener) *run {
	w.Helper()
	r, err := w.tryRun(s, listeners...)
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// tryRun runs a server until the test ends, and returns when the server listens or has failed.
func (w *world) tryRun(s *Server, listeners ...net.Listener) (*run, error) {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &run{world: w, cancel: cancel, ended: make(chan struct{})}
	listening := make(chan []net.Addr, 1)
	s.options.Listening = func(addrs []net.Addr) error { listening <- addrs; return nil }
	go func() {
		defer close(r.ended)
		if len(listeners) > 0 {
			r.err = s.Serve(ctx, listeners...)
		} else {
			r.err = s.Run(ctx)
		}
	}()
	w.Cleanup(func() { r.stop() })
	select {
	case r.addrs = <-listening:
		r.addr = r.addrs[0]
	case <-r.ended:
		return nil, r.err
	}
	if s.options.WebConfigFile != "" {
		r.tls = w.clientTLS
	}
	r.client = newClient(r.addr, r.tls)
	w.Cleanup(r.client.CloseIdleConnections)
	return r, nil
}

// newClient returns a client that connects to addr for the URLs http://localhost/ and
// https://localhost/.
func newClient(addr net.Addr, config *tls.Config) *http.Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, addr.Network(), addr.String())
	}
	return &http.Client{Transport: &http.Transport{DialContext: dial, TLSClientConfig: config}, Timeout: ample}
}

// stop ends the run and returns its error.
func (r *run) stop() error {
	r.Helper()
	r.cancel()
	return r.wait()
}

// wait waits for the run to end and returns its error.
func (r *run) wait() error {
	r.Helper()
	select {
	case <-r.ended:
		return r.err
	case <-time.After(ample):
		r.Fatal("the server does not end")
		return nil
	}
}

// url returns the URL of a path for the client.
func (r *run) url(path string) string {
	if r.tls != nil {
		return "https://localhost" + path
	}
	return "http://localhost" + path
}

// dial connects to the server, with TLS if the server uses it.
func (r *run) dial() *conn {
	r.Helper()
	c, err := r.tryDial()
	r.must(err)
	return c
}

// tryDial is dial for a server that may close the connection before the handshake ends.
func (r *run) tryDial() (*conn, error) {
	r.Helper()
	c, err := net.Dial(r.addr.Network(), r.addr.String())
	r.must(err)
	r.Cleanup(func() { c.Close() })
	if r.receiveBuffer > 0 {
		r.must(c.(interface{ SetReadBuffer(int) error }).SetReadBuffer(r.receiveBuffer))
	}
	if r.tls != nil {
		secured := tls.Client(c, r.tls)
		c, err = secured, secured.Handshake()
	}
	return &conn{c.(halfCloser), bufio.NewReader(c)}, err
}

// A conn is a connection to a server.
type conn struct {
	halfCloser
	read *bufio.Reader
}

type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// request sends a request for a path.
func (c *conn) request(path string) error {
	_, err := io.WriteString(c, "GET "+path+" HTTP/1.1\r\nHost: localhost\r\n\r\n")
	return err
}

// response reads a response and its body.
func (c *conn) response() (*http.Response, string, error) {
	response, err := http.ReadResponse(c.read, nil)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response, string(body), err
}

// get returns the status and body of the response for a path.
func (r *run) get(path string) (int, string, error) { return r.getWith(path, nil) }

// getWith is get with request headers.
func (r *run) getWith(path string, header http.Header) (int, string, error) {
	request, err := http.NewRequest(http.MethodGet, r.url(path), nil)
	if err != nil {
		return 0, "", err
	}
	if header != nil {
		request.Header = header
	}
	response, err := r.client.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return response.StatusCode, string(body), err
}

// page returns the page with the metrics.
func (r *run) page() string {
	r.Helper()
	status, body, err := r.get("/metrics")
	if err != nil || status != http.StatusOK {
		r.Fatalf("%d %s, %v", status, body, err)
	}
	return body
}

// healthy fails the test unless the server serves the world's runtime root.
func (r *run) healthy() {
	r.Helper()
	status, body, err := r.get("/runsc-metrics/healthcheck?root=" + r.root)
	if err != nil || status != http.StatusOK || body != "runsc-metrics:OK" {
		r.Errorf("health check: %d %s, %v", status, body, err)
	}
}

// nothingAt fails the test if a file exists at a path.
func (w *world) nothingAt(path string) {
	w.Helper()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		w.Errorf("something is at %s (%v)", path, err)
	}
}
