package metricclient

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	metricsTimeout = 10 * time.Second
	metricsPath    = "/metrics"

	// scrapeTimeoutHeader tells a server how long its answer is waited for, in seconds.
	scrapeTimeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"
)

// Parameters of [MetricClient.GetMetrics] that a metric server knows. Each value is a regular expression in Go's syntax; it may match any
// part of a name.
const (
	// MetricsFilterParam leaves the metrics of sandboxes whose names match, without the prefix of the server: fs_opens for runsc_fs_opens.
	// The server's own metrics stay.
	MetricsFilterParam = "runsc-sandbox-metrics-filter"

	// CapabilityFilterParam leaves the samples of runsc_meta_sandbox_capabilities whose capabilities match, such as CAP_NET_RAW.
	CapabilityFilterParam = "runsc-capability-filter"
)

// DefaultMaxPageSize is how many bytes a page may have unless [MetricClient.SetMaxPageSize] says otherwise: 256 MiB.
const DefaultMaxPageSize = 256 << 20

// SetMaxPageSize sets how many bytes [MetricClient.GetMetrics] accepts. Reading a page takes up to twice as much memory as the page has
// bytes. Zero and less mean [DefaultMaxPageSize]. The limit applies to calls that begin after it is set.
func (c *MetricClient) SetMaxPageSize(bytes int64) { c.maxPage.Store(bytes) }

func (c *MetricClient) maxPageSize() int64 {
	if n := c.maxPage.Load(); n > 0 {
		return n
	}
	return DefaultMaxPageSize
}

// GetMetrics returns the page of the metric server at the client's address, as it was sent. It waits as long as ctx allows, and at
// most 10 seconds; the server is told how long that is, so that it can answer in time with the sandboxes that answered it.
//
// The parameters, such as [MetricsFilterParam], are sent as the query of the request, but for the one whose key is the empty string: its value is used as the path of
// the request instead of /metrics. A path may have a query of its own, after ? or, for callers who may not write that, after %3F.
// Parameters that are in both have the value of urlParams. GetMetrics does not change urlParams.
//
// A reply with a status other than 200 is an error that has the status and the first line of the reply. So is a page that is longer than
// the limit ([MetricClient.SetMaxPageSize]), that is encoded, or that was cut off: its end is marked by a Content-Length or the chunked
// encoding, or else, where an old proxy leaves out both, by the newline of its last line ([io.ErrUnexpectedEOF]). When nothing listens,
// [ErrNotListening] is in the error's chain. GetMetrics does not check whom it talks to: see [MetricClient.HealthCheck].
func (c *MetricClient) GetMetrics(ctx context.Context, urlParams map[string]string) (data MetricData, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("metrics of the metric server at %s: %w", c.addr, err)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, metricsTimeout)
	defer cancel()
	target, err := c.metricsURL(urlParams)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return "", err
	}
	deadline, _ := ctx.Deadline()
	req.Header.Set(scrapeTimeoutHeader, strconv.FormatFloat(time.Until(deadline).Seconds(), 'f', 3, 64))
	a, err := c.do(req, c.maxPageSize())
	switch {
	case err != nil:
		return "", err
	case a.status != http.StatusOK:
		return "", a.statusError()
	case a.unmarked && a.body != "" && !strings.HasSuffix(a.body, "\n"):
		return "", fmt.Errorf("the page is cut off in its last line: %w", io.ErrUnexpectedEOF)
	}
	return MetricData(a.body), nil
}

// metricsURL returns the URL that GetMetrics with these parameters asks for.
func (c *MetricClient) metricsURL(params map[string]string) (*url.URL, error) {
	target, ok := params[""]
	if !ok {
		target = metricsPath
	}
	path, rawQuery, _ := strings.Cut(target, "?")
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	decoded, err := url.PathUnescape(path)
	if err != nil {
		return nil, fmt.Errorf("the path %q: %w", path, err)
	}
	query, err := url.ParseQuery(rawQuery)
	if err != nil {
		return nil, fmt.Errorf("the query of the path %q: %w", target, err)
	}
	for name, value := range params {
		if name != "" {
			query.Set(name, value)
		}
	}
	u := c.serverURL(decoded)
	u.RawPath = path // as the caller wrote it: the server tells %3F from ?
	u.RawQuery = query.Encode()
	return u, nil
}
