package metricclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

// readyPath serves readiness probes. gVisor's own metric server does not have it.
const readyPath = "/-/ready"

// ErrNotReady means that the server does not serve all of its sandboxes now, although it responds.
var ErrNotReady = errors.New("the server is not ready")

// Ready checks that the server serves its sandboxes: it has read its runtime roots, at least one of them
// answers, and no collection has been under way for too long. The error has the reason, and wraps
// [ErrNotReady]. For a server without readiness, such as gVisor's own, Ready returns nil. Other errors are
// the same as with [MetricClient.HealthCheck]. Ready is safe for concurrent use.
func (c *MetricClient) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	a, err := c.get(ctx, c.serverURL(readyPath), maxHealthBody)
	switch {
	case err != nil:
		return fmt.Errorf("readiness of the metric server at %s: %w", c.addr, err)
	case a.status == http.StatusServiceUnavailable:
		return fmt.Errorf("%w: %s", ErrNotReady, excerpt(a.body))
	case a.status == http.StatusOK, a.status == http.StatusNotFound:
		return nil
	}
	return fmt.Errorf("readiness of the metric server at %s: %w", c.addr, a.statusError())
}
