package metricclient

import (
	"context"
	"errors"
	"fmt"
	"net/http"
)

const (
	sandboxesPath = "/api/v1/sandboxes"
	statusPath    = "/api/v1/status"

	// maxDocumentSize limits a document. A sandbox takes less than 2 KiB plus 150 bytes per container,
	// so this is enough for tens of thousands.
	maxDocumentSize = 64 << 20
)

// ErrNoAPI means that the server does not have the document: sandmeter metric-server has only the one
// of GetStatus, and gVisor's own metric server has none.
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
	return c.getDocument(ctx, "sandboxes", sandboxesPath)
}

// GetStatus returns the JSON document with which the server at the client's address describes itself:
// its version, settings, limits, runtime roots, sandboxes, and newest problems. Timeout and errors are
// those of [MetricClient.GetSandboxes].
func (c *MetricClient) GetStatus(ctx context.Context) (document []byte, err error) {
	return c.getDocument(ctx, "status", statusPath)
}

func (c *MetricClient) getDocument(ctx context.Context, what, path string) ([]byte, error) {
	a, err := c.fetch(ctx, c.serverURL(path), maxDocumentSize)
	if a.status == http.StatusNotFound {
		err = fmt.Errorf("%w: %w", ErrNoAPI, err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s of the metric server at %s: %w", what, c.addr, err)
	}
	return []byte(a.body), nil
}
