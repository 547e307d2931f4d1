// Package web serves HTTP: it parses requests, gets pages from package share, and sends them. It
// has no access to sandboxes.
package web

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/sandmeter/sandmeter/internal/clock"
	"github.com/sandmeter/sandmeter/internal/expo"
	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/share"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// DefaultMetricsPath is the default path of the metrics.
const DefaultMetricsPath = "/metrics"

// Paths that the handler serves in addition to the metrics: those of gVisor's metric server, and
// the probe paths that Prometheus programs use.
const (
	pathIndex  = "/"
	pathHealth = "/runsc-metrics/healthcheck"
	pathPID    = "/runsc-metrics/pid"

	pathProfileCPU  = "/runsc-metrics/profile-cpu"
	pathProfileHeap = "/runsc-metrics/profile-heap"

	pathHealthy = "/-/healthy"
	pathReady   = "/-/ready"
)

// Paths with which clients register and unregister sandboxes.
const (
	pathRegister   = "/runsc-metrics/register"
	pathUnregister = "/runsc-metrics/unregister"
)

// reservedPaths are the path prefixes that the metrics path must not have.
var reservedPaths = []string{"/runsc-metrics/", "/-/"}

var validPath = regexp.MustCompile(`^(/[A-Za-z0-9._~-]+)+$`)

// CheckMetricsPath returns an error if the metrics cannot be served at the path.
func CheckMetricsPath(metrics string) error {
	if !validPath.MatchString(metrics) || path.Clean(metrics) != metrics {
		return errors.New("give a path such as /metrics, of letters, digits and . _ ~ -")
	}
	for _, reserved := range reservedPaths {
		if strings.HasPrefix(metrics+"/", reserved) {
			return fmt.Errorf("paths below %s are reserved", reserved)
		}
	}
	return nil
}

// healthy is the body of the response to a successful health check.
const healthy = "runsc-metrics:OK"

const shuttingDown = "server is shutting down"

// maxForm limits the size of a form in the body of a request, in bytes.
const maxForm = 64 << 10

// Options configure a Handler. The functions must be safe for concurrent use, except Collect.
type Options struct {
	Collect share.Collect
	Pages   *page.Builder
	Formats []expo.Format // formats that clients may request in addition to text format 0.0.4
	// MaxPerSecond limits the number of collections that begin per second.
	MaxPerSecond int
	MaxAge       time.Duration   // maximum age of the snapshot for a scrape
	Roots        func() []string // the runtime roots currently served, as named in health checks
	Ready        func() error    // says to clients why the server is not ready; must not block
	MetricsPath  string          // empty: DefaultMetricsPath
	Version      string          // shown on the front page; may be empty
	Logger       *slog.Logger
	// API enables the JSON API.
	API bool
	// Status returns the document about the server, with a snapshot or, if there is none, the reason.
	Status func(*snapshot.Snapshot, error) any
	// Register and Unregister register and unregister the sandbox with exactly this ID. Nil: clients
	// get status 404 and are told how to enable it.
	Register, Unregister Registering
	// AllowProfiling enables profiles of the process. Profiles cost CPU and reveal what the process
	// does.
	AllowProfiling bool
	// Counters are increased by the handler.
	Counters *Counters
}

// A Handler serves the pages. It is safe for concurrent use. Call Close when it is no longer
// needed.
type Handler struct {
	options Options
	mux     *http.ServeMux
	shared  *share.Share
	filters *page.Filters

	slowReaders rate.Sometimes // limits log lines about clients that are cut off

	stopping     context.Context // done when the handler stops
	endWaits     context.CancelFunc
	crossOrigins rate.Sometimes // limits log lines about requests of web pages

	mu       sync.Mutex
	stopped  bool
	requests sync.WaitGroup // hold mu to add a request
}

// NewHandler returns a Handler.
func NewHandler(o Options) *Handler {
	o.MetricsPath = cmp.Or(o.MetricsPath, DefaultMetricsPath)
	h := &Handler{options: o, mux: http.NewServeMux(), shared: share.New(o.Collect, o.MaxPerSecond, clock.Real), filters: page.NewFilters()}
	h.slowReaders.Interval, h.crossOrigins.Interval = logInterval, logInterval
	h.stopping, h.endWaits = context.WithCancel(context.Background())
	h.handle(o.MetricsPath, h.metrics)
	h.handle(pathHealth, h.health, http.MethodPost)
	h.handle(pathPID, h.pid)
	h.handleRegistering(pathRegister, o.Register)
	h.handleRegistering(pathUnregister, o.Unregister)
	h.handle(pathStatus, h.status)
	if o.API {
		h.handleAPI()
	}
	h.handle(pathHealthy, h.healthy)
	h.handle(pathReady, h.ready)
	if o.AllowProfiling {
		h.handle(pathProfileCPU, profileCPU)
		h.handle(pathProfileHeap, profileHeap)
	}
	h.handle(pathIndex, h.index)
	return h
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.enter() {
		http.Error(w, shuttingDown, http.StatusServiceUnavailable)
		return
	}
	defer h.requests.Done()
	h.mux.ServeHTTP(w, r)
}

// enter counts a request in progress. It reports false if the handler is stopped.
func (h *Handler) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.stopped {
		return false
	}
	h.requests.Add(1)
	return true
}

// EndWaits ends requests that wait for a sandbox, with the response that the server is shutting down.
func (h *Handler) EndWaits() { h.endWaits() }

// Stop refuses new requests with the response that the server is shutting down. Requests that wait
// for a sandbox end with the same response. Stop returns when all requests in progress are done or
// ctx is done.
func (h *Handler) Stop(ctx context.Context) {
	h.mu.Lock()
	h.stopped = true
	h.mu.Unlock()
	h.endWaits()
	done := make(chan struct{})
	go func() {
		h.requests.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// Close stops the handler and waits for requests in progress and their scrapes. Closing an
// http.Server does not wait for its handlers, but the handlers must end before the collector is
// closed.
func (h *Handler) Close() {
	h.Stop(context.Background())
	h.shared.Close()
}

// A httpError is an error whose text is sent to the client.
type httpError struct {
	status int
	text   string
}

func (e *httpError) Error() string { return e.text }

func refuse(status int, format string, args ...any) error {
	return &httpError{status, fmt.Sprintf(format, args...)}
}

// handle serves a path with GET, HEAD and the other methods.
func (h *Handler) handle(path string, serve func(http.ResponseWriter, *http.Request) error, others ...string) {
	h.handleMethods(path, serve, append([]string{http.MethodGet, http.MethodHead}, others...)...)
}

// handleMethods serves a path. If the error is not an httpError, it is logged, and the client only
// gets a generic error.
func (h *Handler) handleMethods(path string, serve func(http.ResponseWriter, *http.Request) error, methods ...string) {
	allow := strings.Join(methods, ", ")
	h.mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
		if !slices.Contains(methods, r.Method) {
			w.Header().Set("Allow", allow)
			http.Error(w, "method not allowed, use one of: "+allow, http.StatusMethodNotAllowed)
			return
		}
		err := try(serve, w, r)
		if err == nil {
			return
		}
		status, text := statusOf(err)
		if status == http.StatusInternalServerError {
			h.options.Logger.Error("Request failed", "path", path, "err", err)
		}
		http.Error(w, text, status)
	})
}

// statusOf returns the HTTP status of a request that ended with err, and the error text for the
// client if the request failed.
func statusOf(err error) (status int, text string) {
	if err == nil {
		return http.StatusOK, ""
	}
	if known, ok := errors.AsType[*httpError](err); ok {
		return known.status, known.text
	}
	return http.StatusInternalServerError, "the request failed; see the server's log"
}

// try serves a request. A panic fails only this request. Without try, net/http would send no
// response and would not write the panic to the server's log.
func try(serve func(http.ResponseWriter, *http.Request) error, w http.ResponseWriter, r *http.Request) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = panicError(p)
		}
	}()
	return serve(w, r)
}

// panicError must be called from the deferred function that recovers the panic.
func panicError(p any) error { return fmt.Errorf("panic: %v\n%s", p, debug.Stack()) }

func (h *Handler) health(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		return refuse(http.StatusBadRequest, "%s", err)
	}
	if roots := h.options.Roots(); !slices.Contains(roots, r.FormValue("root")) {
		return refuseRoot(roots)
	}
	return writeText(w, healthy)
}

// refuseRoot returns the error for a root that is not served. Clients parse its text.
func refuseRoot(roots []string) error {
	return refuse(http.StatusBadRequest, "this metric server is configured to serve root directory: %s", strings.Join(roots, ", "))
}

func (h *Handler) pid(w http.ResponseWriter, _ *http.Request) error {
	return writeText(w, fmt.Sprint(os.Getpid()))
}

// healthy serves liveness probes, which do not name a runtime root. It reports that the server
// runs.
func (h *Handler) healthy(w http.ResponseWriter, _ *http.Request) error {
	return writeText(w, "Sandmeter is healthy.\n")
}

// ready serves readiness probes.
func (h *Handler) ready(w http.ResponseWriter, _ *http.Request) error {
	err := h.options.Ready()
	if err == nil && h.shared.Overdue() {
		err = errors.New("a collection has not ended, long after its deadline")
	}
	if err != nil {
		return refuse(http.StatusServiceUnavailable, "%s", err)
	}
	return writeText(w, "Sandmeter is ready.\n")
}

func writeText(w http.ResponseWriter, text string) error {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(text)) // an error means that the client has disconnected
	return nil
}

// index serves the front page. All unknown paths end here too. Among them are metrics paths with an
// escaped query, which scrapers without support for parameters send; index serves metrics for
// these.
func (h *Handler) index(w http.ResponseWriter, r *http.Request) error {
	if r.URL.Path == pathIndex {
		return h.writeIndex(w)
	}
	target, query, found := strings.Cut(r.URL.Path, "?")
	if !found || target != h.options.MetricsPath {
		return refuse(http.StatusNotFound, "path not found")
	}
	return h.scrapeFor(w, r, query)
}

func (h *Handler) metrics(w http.ResponseWriter, r *http.Request) error { return h.scrapeFor(w, r, "") }

// scrapeFor scrapes with the parameters of the request plus those in pathQuery.
func (h *Handler) scrapeFor(w http.ResponseWriter, r *http.Request, pathQuery string) error {
	began := time.Now()
	sent := 0
	query, err := queryOf(r, pathQuery)
	if err == nil {
		sent, err = h.scrape(w, r, query)
	}
	h.logScrape(w, r, query, sent, err, time.Since(began))
	return err
}

// queryOf returns the parameters of a request plus those in pathQuery.
func queryOf(r *http.Request, pathQuery string) (url.Values, error) {
	values, err := url.ParseQuery(pathQuery)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the query in the path cannot be read: %s", err)
	}
	own, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "the query cannot be read: %s", err)
	}
	maps.Copy(values, own)
	return values, nil
}
