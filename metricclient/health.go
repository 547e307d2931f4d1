package metricclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Why a health check failed, as far as it can be known. See also [WrongRootError].
var (
	// ErrNotListening means that nothing listens at the address: the connection was refused, or the Unix socket is not there.
	ErrNotListening = errors.New("nothing listens")

	// ErrNotMetricServer means that what is at the address is no metric server: it does not speak HTTP, answers something else, or is
	// not even a socket.
	ErrNotMetricServer = errors.New("not a metric server")

	// ErrShuttingDown means that the metric server is about to end.
	ErrShuttingDown = errors.New("the metric server is shutting down")

	// ErrUnauthorized means that the server does not accept the client's user name and password, or that the client has none.
	ErrUnauthorized = errors.New("the server does not accept the credentials")

	// ErrTLS means that client and server could not agree on TLS: one of them does not accept the other's certificate, or does not speak TLS.
	ErrTLS = errors.New("TLS failed")
)

// WrongRootError says that a metric server is there, but serves another runtime root. Two ways to write one root, such as with a slash at its
// end and without, are not two roots.
type WrongRootError struct {
	Want string // the root of the client, in its clean form
	Got  string // the root that the server says it serves, unchecked
}

func (e *WrongRootError) Error() string {
	return fmt.Sprintf("the metric server serves another root: %s, not %s", excerpt(e.Got), printable(e.Want))
}

const (
	healthTimeout = 5 * time.Second
	healthPath    = "/runsc-metrics/healthcheck"
	healthy       = "runsc-metrics:OK"
	shuttingDown  = "shutting down"
	otherRoot     = "this metric server is configured to serve root directory: "
	maxHealthBody = 8 << 10 // a path has up to 4 KB
)

// HealthCheck returns nil when the metric server at the client's address answers and serves the client's runtime root. It waits for an
// answer as long as ctx allows, and at most 5 seconds.
//
// The error has [ErrNotListening], [ErrNotMetricServer], [ErrShuttingDown], [ErrUnauthorized], [ErrTLS] or a [*WrongRootError] in its chain when it is known that this
// is the reason, and [context.DeadlineExceeded] when somebody listens but did not answer in time.
func (c *MetricClient) HealthCheck(ctx context.Context) (err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("health check of the metric server at %s: %w", c.addr, err)
		}
	}()
	return c.checkHealth(ctx)
}

func (c *MetricClient) checkHealth(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	err := c.askHealth(ctx)
	if hungUp(err) {
		// A server that ends may do so between taking a connection and reading from it: who listens now?
		err = c.askHealth(ctx)
	}
	return err
}

// hungUp reports whether an exchange ended because the other side closed the connection.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

func (c *MetricClient) askHealth(ctx context.Context) error {
	form := url.Values{"root": {c.rootDir}}.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.serverURL(healthPath).String(), strings.NewReader(form))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	a, err := c.do(req, maxHealthBody)
	if errors.Is(err, ErrTLS) {
		return err
	}
	if _, ok := errors.AsType[foreignError](err); ok {
		return fmt.Errorf("%w: %w", ErrNotMetricServer, err) // it took the connection, but what it sent is not HTTP
	}
	if err != nil {
		return err
	}
	return c.judgeHealth(a)
}

// judgeHealth returns what the answer to a health check means.
func (c *MetricClient) judgeHealth(a answer) error {
	switch {
	case a.status == http.StatusOK && strings.TrimSuffix(a.body, "\n") == healthy:
		return nil
	case a.status == http.StatusServiceUnavailable && strings.Contains(a.body, shuttingDown):
		return ErrShuttingDown
	case a.status == http.StatusBadRequest && strings.HasPrefix(a.body, otherRoot):
		return c.judgeRoot(strings.TrimRight(strings.TrimPrefix(a.body, otherRoot), "\n"))
	}
	err := a.statusError()
	if errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrTLS) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrNotMetricServer, err)
}

// judgeRoot returns what it means that the server says it serves another root than the client's. It compares what it was given as it
// stands, and runsc gives it what its user wrote.
func (c *MetricClient) judgeRoot(served string) error {
	if served != "" && filepath.Clean(served) == c.rootDir {
		return nil
	}
	return &WrongRootError{Want: c.rootDir, Got: served}
}
