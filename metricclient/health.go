package metricclient

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Reasons for a failed health check. See also [WrongRootError].
var (
	// ErrNotListening means that nothing listens at the address: the connection is refused, or the
	// Unix socket does not exist.
	ErrNotListening = errors.New("nothing listens")

	// ErrNotMetricServer means that something other than a metric server is at the address: it does
	// not speak HTTP, sends an unexpected response, or is not a socket.
	ErrNotMetricServer = errors.New("not a metric server")

	// ErrShuttingDown means that the metric server is shutting down.
	ErrShuttingDown = errors.New("the metric server is shutting down")

	// ErrUnauthorized means that the server rejects the client's user name and password, or
	// requires credentials and the client has none.
	ErrUnauthorized = errors.New("the server does not accept the credentials")

	// ErrTLS means that TLS negotiation failed: one side rejects the other's certificate, or only
	// one side uses TLS.
	ErrTLS = errors.New("TLS failed")
)

// WrongRootError means that the metric server serves another runtime root. Different spellings of
// the same root, such as with and without a trailing slash, are not an error.
type WrongRootError struct {
	Want string // the client's root, cleaned
	Got  string // the root reported by the server, not validated
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
	maxHealthBody = 8 << 10 // a path has up to 4 KiB
)

// HealthCheck returns nil if the metric server at the client's address responds and serves the
// client's runtime root. It times out after 5 seconds, or when ctx is done if that is earlier.
//
// The error wraps [ErrNotListening], [ErrNotMetricServer], [ErrShuttingDown], [ErrUnauthorized],
// [ErrTLS] or a [*WrongRootError] if the reason is known. It wraps [context.DeadlineExceeded] if
// the server accepts the connection but does not respond in time.
func (c *MetricClient) HealthCheck(ctx context.Context) (err error) {
	defer wrap(&err, "health check of the metric server at %s", c.addr)
	return c.checkHealth(ctx)
}

func (c *MetricClient) checkHealth(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	err := c.askHealth(ctx)
	if hungUp(err) {
		// A server that is ending can close a connection right after accepting it. Retry once to
		// check what listens now.
		err = c.askHealth(ctx)
	}
	return err
}

// hungUp reports whether an exchange failed because the other side closed the connection. net/http
// returns net.ErrClosed if a write fails first: it closes the connection, and its read fails then.
func hungUp(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) || errors.Is(err, net.ErrClosed)
}

func (c *MetricClient) askHealth(ctx context.Context) error {
	a, err := c.post(ctx, healthPath, url.Values{"root": {c.rootDir}}, maxHealthBody)
	if _, ok := errors.AsType[foreignError](err); ok && !errors.Is(err, ErrTLS) {
		err = fmt.Errorf("%w: %w", ErrNotMetricServer, err) // something accepts connections but does not speak HTTP
	}
	if err != nil {
		return err
	}
	return c.judgeHealth(a)
}

// judgeHealth interprets the response to a health check. A server compares the root as runsc passes it with
// its own, both as a user wrote them, so another spelling of the client's root is healthy, too.
func (c *MetricClient) judgeHealth(a answer) error {
	if a.status == http.StatusOK && strings.TrimSuffix(a.body, "\n") == healthy {
		return nil
	}
	err := c.refusal(a)
	if wrong, ok := errors.AsType[*WrongRootError](err); ok && wrong.Got != "" && filepath.Clean(wrong.Got) == c.rootDir {
		return nil
	}
	if err != nil {
		return err
	}
	err = a.statusError()
	if errors.Is(err, ErrUnauthorized) || errors.Is(err, ErrTLS) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrNotMetricServer, err)
}
