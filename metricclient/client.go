package metricclient

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sandmeter/sandmeter/config"
)

// Limits of one exchange with a server.
const (
	dialTimeout    = 10 * time.Second // no request waits longer; this only ends abandoned dials
	backlogPause   = 20 * time.Millisecond
	maxHeaderBytes = 64 << 10
	maxErrorBytes  = 4 << 10 // maximum read of the body of an unsuccessful response

	// plainOnTLS is the response of a Go TLS server to plain HTTP.
	plainOnTLS = "Client sent an HTTP request to an HTTPS server."
)

// MetricClient talks to the metric server at one address. It can also start and stop a server
// there. All methods are safe for concurrent use.
type MetricClient struct {
	addr    string // with RuntimeRoot expanded
	rootDir string // cleaned
	options options
	http    *http.Client
	maxPage atomic.Int64 // see SetMaxPageSize

	spawning sync.Mutex              // held by a SpawnServer call
	server   atomic.Pointer[process] // started by SpawnServer, not yet known to have ended; or nil
}

// NewMetricClient returns a client for the metric server at addr that serves the runtime root
// rootDir. It does not connect to the server.
//
// If addr begins with a slash, it is the path of a Unix socket; otherwise it is a TCP address
// (host:port or :port). [config.RuntimeRoot] in addr stands for rootDir. An empty rootDir means
// [config.DefaultRootDir]. Any other rootDir is cleaned with [filepath.Clean]; symbolic links are
// not resolved.
//
// For [MetricClient.SpawnServer], the address also selects the sandboxes to serve: those created
// with the same --metric-server.
func NewMetricClient(addr, rootDir string) *MetricClient {
	return NewMetricClientWithOptions(addr, rootDir)
}

// NewMetricClientWithOptions is [NewMetricClient] with options, for servers with TLS or passwords.
func NewMetricClientWithOptions(addr, rootDir string, opts ...Option) *MetricClient {
	if rootDir == "" {
		rootDir = config.DefaultRootDir()
	}
	// A server expands the address with the root as given, before cleaning.
	addr = config.ExpandAddress(addr, rootDir)
	c := &MetricClient{addr: addr, rootDir: filepath.Clean(rootDir)}
	for _, set := range opts {
		set(&c.options)
	}
	c.http = &http.Client{
		Transport: c.options.transport(addr),
		// A redirect can lead to another server.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return c
}

// Close closes the client's idle connections. It does not cancel calls in progress, and it does not
// stop a server started by [MetricClient.SpawnServer]; only [MetricClient.ShutdownServer] does. The
// client remains usable.
func (c *MetricClient) Close() { c.http.CloseIdleConnections() }

// wrap puts a prefix before an error of an exported function, if there is one. Call it with defer.
func wrap(err *error, format string, args ...any) {
	if *err != nil {
		*err = fmt.Errorf(format+": %w", append(args, *err)...)
	}
}

// dialError is the reason for a failed connection attempt.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

// dial connects to addr. Its error is a dialError. It wraps ErrNotListening or ErrNotMetricServer
// if the failure proves either.
func dial(ctx context.Context, addr string) (net.Conn, error) {
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
		// The system reports a path that is too long as "invalid argument".
		if limit := len(syscall.RawSockaddrUnix{}.Path) - 1; len(addr) > limit {
			return nil, dialError{fmt.Errorf("the path is %d bytes long: a Unix socket's has at most %d", len(addr), limit)}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout) // net/http does not pass on the cancellation of a request
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, addr)
	for errors.Is(err, syscall.EAGAIN) && ctx.Err() == nil {
		// The accept backlog is full. A TCP dial waits in this case; a Unix socket dial must retry.
		time.Sleep(backlogPause)
		conn, err = dialer.DialContext(ctx, network, addr)
	}
	if err == nil {
		return conn, nil
	}
	reason := dialReason(network, addr, err)
	if opErr, ok := errors.AsType[*net.OpError](err); ok {
		err = opErr.Err // the caller adds the address
	}
	if reason != nil {
		err = fmt.Errorf("%w: %w", reason, err)
	}
	return nil, dialError{err}
}

// dialReason returns what a failed dial proves about the address, or nil.
func dialReason(network, addr string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT):
		return ErrNotListening
	case network == "unix" && isNoSocket(addr):
		return fmt.Errorf("%w: not a socket", ErrNotMetricServer)
	case errors.Is(err, syscall.ECONNREFUSED):
		return ErrNotListening
	case errors.Is(err, syscall.EPROTOTYPE): // not a stream socket
		return ErrNotMetricServer
	}
	return nil
}

// isNoSocket reports whether path exists and is not a socket. Linux returns the same error for it
// as for a socket without a listener.
func isNoSocket(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&os.ModeSocket == 0
}

// answer is a response of the server.
type answer struct {
	status   int
	body     string
	unmarked bool // only the end of the connection marks the end of the body
}

// statusError returns the error for a response with a status other than 200.
func (a answer) statusError() error {
	switch {
	case a.status == http.StatusUnauthorized:
		return ErrUnauthorized
	case a.status == http.StatusBadRequest && strings.HasPrefix(a.body, plainOnTLS):
		return fmt.Errorf("%w: the server requires it, and the client does not use it", ErrTLS)
	}
	return fmt.Errorf("the answer is %d %s: %s", a.status, http.StatusText(a.status), cmp.Or(excerpt(a.body), "(nothing)"))
}

// refusal returns the error for a response of a server that is shutting down or serves another runtime
// root, or nil.
func (c *MetricClient) refusal(a answer) error {
	served, isRoot := strings.CutPrefix(a.body, otherRoot)
	switch {
	case a.status == http.StatusServiceUnavailable && strings.Contains(a.body, shuttingDown):
		return ErrShuttingDown
	case a.status == http.StatusBadRequest && isRoot:
		return &WrongRootError{Want: c.rootDir, Got: strings.TrimRight(served, "\n")}
	}
	return nil
}

// get requests data. The request contains the time that is left, for a server that collects the data.
// It accepts a response body of at most limit bytes.
func (c *MetricClient) get(ctx context.Context, target *url.URL, limit int64) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return answer{}, err
	}
	if deadline, ok := ctx.Deadline(); ok {
		req.Header.Set(scrapeTimeoutHeader, strconv.FormatFloat(time.Until(deadline).Seconds(), 'f', 3, 64))
	}
	return c.do(req, limit)
}

// fetch requests what the server collects, for at most metricsTimeout. A status other than 200 is an error.
func (c *MetricClient) fetch(ctx context.Context, target *url.URL, limit int64) (answer, error) {
	ctx, cancel := context.WithTimeout(ctx, metricsTimeout)
	defer cancel()
	a, err := c.get(ctx, target, limit)
	if err == nil && a.status != http.StatusOK {
		err = a.statusError()
	}
	return a, err
}

// post sends a form to a path of the server.
func (c *MetricClient) post(ctx context.Context, path string, form url.Values, limit int64) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.serverURL(path).String(), strings.NewReader(form.Encode()))
	if err != nil {
		return answer{}, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return c.do(req, limit)
}

// localhost is the Host header of each request. Servers on loopback addresses accept it; other
// servers ignore it.
const localhost = "localhost"

func (c *MetricClient) serverURL(path string) *url.URL {
	scheme, host := c.options.host(c.addr)
	return &url.URL{Scheme: scheme, Host: host, Path: path}
}

// do sends a request. A body that exceeds limit is an error if the status is 200; the body of any
// other status is truncated. If the context is done, its error takes precedence over the errors
// that it causes.
func (c *MetricClient) do(req *http.Request, limit int64) (answer, error) {
	req.Host = localhost
	if c.options.hasUser {
		req.SetBasicAuth(c.options.user, c.options.password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		err = exchangeError(req.Context(), err)
		if c.options.tls != nil && hungUp(err) {
			// A server that rejects the client certificate sends an alert and closes the
			// connection. The request can fail on the closed connection before the alert is read.
			err = fmt.Errorf("%w: the server closed the connection, as one does that requires another client certificate: %w", ErrTLS, err)
		}
		return answer{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		// A read error does not change the status.
		body, _ := io.ReadAll(io.LimitReader(resp.Body, maxErrorBytes))
		return answer{status: resp.StatusCode, body: string(body)}, nil
	}
	if err := checkHead(resp, limit); err != nil {
		return answer{}, foreignError{err}
	}
	body, err := readBody(resp.Body, limit)
	if err != nil {
		return answer{}, exchangeError(req.Context(), err)
	}
	return answer{resp.StatusCode, body, endsUnmarked(resp)}, nil
}

// exchangeError returns the error of an exchange without the wrapping of net/http.
func exchangeError(ctx context.Context, err error) error {
	if ctxErr := ctx.Err(); ctxErr != nil {
		return fmt.Errorf("no response: %w", ctxErr)
	}
	if dialErr, ok := errors.AsType[dialError](err); ok {
		return dialErr
	}
	if urlErr, ok := errors.AsType[*url.Error](err); ok {
		err = urlErr.Err
	}
	if isTLSError(err) {
		return tlsError{foreignError{err}}
	}
	return foreignError{err}
}

// isTLSError reports whether TLS negotiation failed: one side rejected a certificate, or only one
// side uses TLS.
func isTLSError(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" { // a TLS alert; its type is not exported
		return true
	}
	return errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, new(*tls.CertificateVerificationError)) ||
		errors.As(err, new(tls.RecordHeaderError))
}

// tlsError is an ErrTLS with the reason given by the client or the server.
type tlsError struct{ reason error }

func (e tlsError) Error() string   { return ErrTLS.Error() + ": " + e.reason.Error() }
func (e tlsError) Unwrap() []error { return []error{ErrTLS, e.reason} }

// foreignError is an error that can contain text from the server.
type foreignError struct{ error }

func (e foreignError) Error() string { return excerpt(e.error.Error()) }
func (e foreignError) Unwrap() error { return e.error }
