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
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/sandmeter/sandmeter/config"
)

// Limits of one exchange with a server.
const (
	dialTimeout    = 10 * time.Second // no operation waits longer, so this only ends dials that nobody waits for any more
	backlogPause   = 20 * time.Millisecond
	maxHeaderBytes = 64 << 10
	maxErrorBytes  = 4 << 10 // read of the body of an answer that is no success

	// plainOnTLS is what a server with TLS that is written in Go answers to plain HTTP.
	plainOnTLS = "Client sent an HTTP request to an HTTPS server."
)

// MetricClient talks to the metric server at one address, and can start and stop one there. All methods may be called at the same
// time from several goroutines.
type MetricClient struct {
	addr    string // expanded
	rootDir string // clean
	options options
	http    *http.Client
	maxPage atomic.Int64 // as in SetMaxPageSize

	mu       sync.Mutex
	spawning bool     // a SpawnServer is under way
	server   *process // what SpawnServer started and nobody has seen the end of; nil if there is none
}

// NewMetricClient returns a client for the metric server at addr that serves the runtime root rootDir. It contacts nobody yet.
//
// An addr that begins with a slash is the path of a Unix socket, any other a TCP address (host:port or :port). [config.RuntimeRoot] in
// addr stands for rootDir. An empty rootDir means [config.DefaultRootDir]; another one is taken in its clean form, as [filepath.Clean] has
// it. Links in it are not followed.
//
// For [MetricClient.SpawnServer] the address is also which sandboxes are served: those created with an equal --metric-server.
//
// Options are for a server with TLS or passwords.
func NewMetricClient(addr, rootDir string, opts ...Option) *MetricClient {
	if rootDir == "" {
		rootDir = config.DefaultRootDir()
	}
	addr = config.ExpandAddress(addr, rootDir) // as a server with this root does, which may not be clean
	c := &MetricClient{addr: addr, rootDir: filepath.Clean(rootDir)}
	for _, set := range opts {
		set(&c.options)
	}
	c.http = newHTTPClient(c.options.transport(addr))
	return c
}

// Close releases the client's idle connections. It ends nothing else: calls under way go on, and so does a server that
// [MetricClient.SpawnServer] started, which only [MetricClient.ShutdownServer] stops. The client may be used again.
func (c *MetricClient) Close() { c.http.CloseIdleConnections() }

// newHTTPClient returns a client that follows no redirects, which would lead it to another server.
func newHTTPClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// dialError is the reason why there is no connection.
type dialError struct{ error }

func (e dialError) Unwrap() error { return e.error }

// dial connects to addr. Its error is a dialError, with ErrNotListening or ErrNotMetricServer in it where the failure proves that.
func dial(ctx context.Context, addr string) (net.Conn, error) {
	network := "tcp"
	if strings.HasPrefix(addr, "/") {
		network = "unix"
		// The system's own error for a long path is "invalid argument".
		if limit := len(syscall.RawSockaddrUnix{}.Path) - 1; len(addr) > limit {
			return nil, dialError{fmt.Errorf("the path is %d bytes long: a Unix socket's has at most %d", len(addr), limit)}
		}
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout) // net/http does not pass on the end of a request
	defer cancel()
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, network, addr)
	for errors.Is(err, syscall.EAGAIN) && ctx.Err() == nil {
		// Too many connections wait to be taken. A TCP dial would wait with them; a Unix one has to ask again.
		time.Sleep(backlogPause)
		conn, err = dialer.DialContext(ctx, network, addr)
	}
	if err == nil {
		return conn, nil
	}
	reason := dialReason(network, addr, err)
	if opErr, ok := errors.AsType[*net.OpError](err); ok {
		err = opErr.Err // the caller that reports the error names the address
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
	case errors.Is(err, syscall.EPROTOTYPE): // a Unix socket, but not one of streams
		return ErrNotMetricServer
	}
	return nil
}

// isNoSocket reports whether there is something at path that is no socket. Linux refuses to connect to it just as it refuses to
// connect to a socket that nothing listens on.
func isNoSocket(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&os.ModeSocket == 0
}

// answer is what a server sent: its status and its body.
type answer struct {
	status   int
	body     string
	unmarked bool // nothing but the end of the connection says where the body ends
}

// statusError returns the error that an answer with a status other than 200 is.
func (a answer) statusError() error {
	switch {
	case a.status == http.StatusUnauthorized:
		return ErrUnauthorized
	case a.status == http.StatusBadRequest && strings.HasPrefix(a.body, plainOnTLS):
		return fmt.Errorf("%w: the server requires it, and the client does not use it", ErrTLS)
	}
	return fmt.Errorf("the answer is %d %s: %s", a.status, http.StatusText(a.status), cmp.Or(excerpt(a.body), "(nothing)"))
}

// get asks for a path of the server. The answer's body has at most limit bytes.
func (c *MetricClient) get(ctx context.Context, path string, limit int64) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.serverURL(path).String(), nil)
	if err != nil {
		return answer{}, err
	}
	return c.do(req, limit)
}

// localhost is the Host header of each request: servers on loopback addresses accept it, and to others it does not matter.
const localhost = "localhost"

// serverURL returns the URL of a path of the server.
func (c *MetricClient) serverURL(path string) *url.URL {
	scheme, host := c.options.host(c.addr)
	return &url.URL{Scheme: scheme, Host: host, Path: path}
}

// do sends a request. A body with status 200 that is longer than limit is an error; the body of any other status is cut. An error of
// the context comes before any error that it caused.
func (c *MetricClient) do(req *http.Request, limit int64) (answer, error) {
	req.Host = localhost
	if c.options.hasUser {
		req.SetBasicAuth(c.options.user, c.options.password)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		err = exchangeError(req.Context(), err)
		if c.options.tls != nil && hungUp(err) {
			// A server that does not accept the client's certificate says so and hangs up, and the request may meet the latter first.
			err = fmt.Errorf("%w: the server closed the connection, as one does that requires another client certificate: %w", ErrTLS, err)
		}
		return answer{}, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		// That the rest cannot be read does not change the status.
		body, _ := readBody(io.LimitReader(resp.Body, maxErrorBytes), maxErrorBytes)
		return answer{status: resp.StatusCode, body: body}, nil
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

// exchangeError returns the error of an exchange without what net/http puts around it.
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

// isTLSError reports whether client and server could not agree on TLS: on certificates, or on whether there is TLS at all.
func isTLSError(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" { // an alert, whose type is not exported
		return true
	}
	return errors.Is(err, http.ErrSchemeMismatch) || errors.As(err, new(*tls.CertificateVerificationError)) ||
		errors.As(err, new(tls.RecordHeaderError))
}

// tlsError is an ErrTLS with what client or server said.
type tlsError struct{ reason error }

func (e tlsError) Error() string   { return ErrTLS.Error() + ": " + e.reason.Error() }
func (e tlsError) Unwrap() []error { return []error{ErrTLS, e.reason} }

// foreignError is an error that may quote what a server sent.
type foreignError struct{ error }

func (e foreignError) Error() string { return excerpt(e.error.Error()) }
func (e foreignError) Unwrap() error { return e.error }
