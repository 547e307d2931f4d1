package metricclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

const (
	sandboxesPath = "/api/v1/sandboxes"

	// maxSandboxesSize limits the document of GetSandboxes. A sandbox takes less than 1 KiB plus
	// 150 bytes per container, so this is enough for tens of thousands.
	maxSandboxesSize = 64 << 20
)

// ErrNoAPI means that the server has no JSON API, such as sandmeter metric-server and gVisor's own
// metric server.
var ErrNoAPI = errors.New("the server has no JSON API")

// GetSandboxes returns the JSON document of all sandboxes that the server at the client's address
// serves, unmodified. The server describes the document at /api/v1/openapi.json. GetSandboxes times
// out after 10 seconds, or when ctx is done if that is earlier. The request contains the timeout,
// as that of [MetricClient.GetMetrics] does.
//
// The error wraps [ErrNotListening], [ErrUnauthorized], [ErrTLS] or [ErrNoAPI] if the reason is
// known. A document that is encoded or longer than 64 MiB is an error too. GetSandboxes checks
// neither the document nor the identity of the server: see [MetricClient.HealthCheck].
func (c *MetricClient) GetSandboxes(ctx context.Context) (document []byte, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("sandboxes of the metric server at %s: %w", c.addr, err)
		}
	}()
	a, err := c.read(ctx, c.serverURL(sandboxesPath), maxSandboxesSize)
	switch {
	case err != nil:
		return nil, err
	case a.status == http.StatusNotFound:
		return nil, fmt.Errorf("%w: %w", ErrNoAPI, a.statusError())
	case a.status != http.StatusOK:
		return nil, a.statusError()
	}
	return []byte(a.body), nil
}
