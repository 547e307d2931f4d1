package metricclient

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"
)

const (
	metricsTimeout = 10 * time.Second
	metricsPath    = "/metrics"

	// scrapeTimeoutHeader is the header with the client's timeout, in seconds.
	scrapeTimeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"
)

// Parameters of [MetricClient.GetMetrics] for a metric server. Each value is a regular expression
// in Go syntax. It may match any part of a name.
const (
	// MetricsFilterParam keeps only the sandbox metrics with matching names, without the prefix of
	// the server: fs_opens for runsc_fs_opens. It does not filter the server's own metrics.
	MetricsFilterParam = "runsc-sandbox-metrics-filter"

	// CapabilityFilterParam keeps only the samples of runsc_meta_sandbox_capabilities with matching
	// capabilities, such as CAP_NET_RAW.
	CapabilityFilterParam = "runsc-capability-filter"
)

// DefaultMaxPageSize is the default maximum size of a page in bytes: 256 MiB. See
// [MetricClient.SetMaxPageSize].
const DefaultMaxPageSize = 256 << 20

// SetMaxPageSize sets the maximum size in bytes of a page that [MetricClient.GetMetrics] accepts.
// Reading a page needs up to twice its size in memory. Zero or less means [DefaultMaxPageSize]. The
// limit applies to calls that begin after it is set.
func (c *MetricClient) SetMaxPageSize(bytes int64) { c.maxPage.Store(bytes) }

func (c *MetricClient) maxPageSize() int64 {
	if n := c.maxPage.Load(); n > 0 {
		return n
	}
	return DefaultMaxPageSize
}

// GetMetrics returns the page of the metric server at the client's address, unmodified. It times
// out after 10 seconds, or when ctx is done if that is earlier. The request contains the timeout,
// so that the server can respond in time with the sandboxes that have replied by then.
//
// The parameters, such as [MetricsFilterParam], are sent as the query of the request. The parameter
// with the empty key is different: its value replaces the request path /metrics. The path may
// contain a query after ?, or after %3F for callers that cannot write a question mark. If a
// parameter is in both, the value in urlParams applies. GetMetrics does not change urlParams.
//
// A response with a status other than 200 is an error that contains the status and the first line
// of the response. A page that is encoded, truncated or longer than the limit
// ([MetricClient.SetMaxPageSize]) is an error too. A page is complete if its Content-Length or its
// chunked encoding shows it; if an old proxy omits both, the last line must end with a newline
// ([io.ErrUnexpectedEOF]). If nothing listens, the error wraps [ErrNotListening]. GetMetrics does
// not check the identity of the server: see [MetricClient.HealthCheck].
func (c *MetricClient) GetMetrics(ctx context.Context, urlParams map[string]string) (data MetricData, err error) {
	defer wrap(&err, "metrics of the metric server at %s", c.addr)
	target, err := c.metricsURL(urlParams)
	if err != nil {
		return "", err
	}
	a, err := c.fetch(ctx, target, c.maxPageSize())
	switch {
	case err != nil:
		return "", err
	case a.unmarked && a.body != "" && !strings.HasSuffix(a.body, "\n"):
		return "", fmt.Errorf("the page is cut off in its last line: %w", io.ErrUnexpectedEOF)
	}
	return MetricData(a.body), nil
}

// metricsURL returns the request URL of GetMetrics for these parameters.
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
	u.RawPath = path // as given by the caller: the server distinguishes %3F from ?
	u.RawQuery = query.Encode()
	return u, nil
}
