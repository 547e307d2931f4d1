package web

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// ample is a timeout for operations that should not wait. None of them takes this long.
const ample = 20 * time.Second

// servedRoot is the root that the recorded server served and that health checks name. It differs
// from the directory of the sandboxes, which clients cannot see.
const servedRoot = "/run/runsc"

// world is a runtime root of simulated sandboxes and a handler that serves them.
type world struct {
	*testing.T
	root    string
	handler *Handler
	log     testkit.Buffer
}

// newWorld returns a world whose collector and handler have the usual options, as modified by
// change.
func newWorld(t *testing.T, change func(*collect.Options, *Options)) *world {
	t.Helper()
	root := testkit.TempDir(t)
	w := &world{T: t, root: root}
	logger := slog.New(slog.NewTextHandler(&w.log, nil))
	c := collect.Options{Roots: []string{root}, Linger: time.Hour, LingerMax: 1000, SandboxTimeout: ample, Logger: logger}
	o := Options{
		MaxPerSecond: 20, Roots: func() []string { return []string{servedRoot} }, Ready: func() error { return nil }, Version: "1.2.3",
		Logger: logger, Counters: new(Counters),
	}
	if change != nil {
		change(&c, &o)
	}
	collector, err := collect.New(c)
	if err != nil {
		t.Fatal(err)
	}
	o.Collect, o.Pages = collector.Collect, page.NewBuilder(page.Options{Prefix: "runsc_", Naming: page.RunscNaming, Timestamps: true,
		Families: families.Options{StartTime: time.Now()}})
	w.handler = NewHandler(o)
	t.Cleanup(func() {
		w.handler.Close()
		if err := collector.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// start starts a sandbox.
func (w *world) start(spec simulate.Spec) *simulate.Sandbox {
	w.Helper()
	return testkit.Start(w, w.root, spec)
}

// do serves one request without a connection.
func (w *world) do(r *http.Request) *httptest.ResponseRecorder {
	response := httptest.NewRecorder()
	w.handler.ServeHTTP(response, r)
	return response
}

// get serves a GET request for a path. Each header has the form "Name: value".
func (w *world) get(path string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, path, nil)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return w.do(r)
}

// expect checks the status and body of a text response.
func (w *world) expect(response *httptest.ResponseRecorder, status int, body string) {
	w.Helper()
	if response.Code != status || response.Body.String() != body {
		w.Errorf("got %d %q, want %d %q", response.Code, response.Body, status, body)
	}
}

// page returns the page at a path.
func (w *world) page(path string) string {
	w.Helper()
	response := w.get(path)
	if response.Code != http.StatusOK {
		w.Fatalf("GET %s: %d %s", path, response.Code, response.Body)
	}
	return response.Body.String()
}

// serve serves on a Unix socket and returns a client for http://x/ and the address of the socket.
func (w *world) serve() (*http.Client, net.Addr) {
	w.Helper()
	listener, err := net.Listen("unix", filepath.Join(w.root, "server"))
	w.must(err)
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: w.handler}}
	server.Start()
	w.Cleanup(server.Close)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", listener.Addr().String())
	}
	transport := &http.Transport{DialContext: dial, DisableCompression: true}
	w.Cleanup(transport.CloseIdleConnections)
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &http.Client{Transport: transport, CheckRedirect: noRedirect}, listener.Addr()
}

// fetch sends a request to a server and returns the response and its body.
func (w *world) fetch(client *http.Client, r *http.Request) (*http.Response, string) {
	w.Helper()
	response, err := client.Do(r)
	w.must(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	w.must(err)
	return response, string(body)
}

// labelsOf returns a label of each sample of a family on a page.
func labelsOf(page, family, label string) []string {
	var values []string
	for line := range strings.Lines(page) {
		if strings.HasPrefix(line, family+"{") {
			_, value, _ := strings.Cut(line, label+`="`)
			value, _, _ = strings.Cut(value, `"`)
			values = append(values, value)
		}
	}
	return values
}
