package metricclient

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	metricsTimeout  = 10 * time.Second
	metricsPath     = "/metrics"
	maxMetricsBytes = 1 << 30

	// scrapeTimeoutHeader tells a server how long its answer is waited for, in seconds.
	scrapeTimeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"
)

// GetMetrics returns the page of the metric server at the client's address, as it was sent. It waits as long as ctx allows, and at
// most 10 seconds; the server is told how long that is, so that it can answer in time with the sandboxes that answered it.
//
// The parameters are sent as the query of the request, but for the one whose key is the empty string: its value is used as the path of
// the request instead of /metrics. A path may have a query of its own, after ? or, for callers who may not write that, after %3F.
// Parameters that are in both have the value of urlParams. GetMetrics does not change urlParams.
//
// An answer with a status other than 200 is an error that has the status and the first line of the answer, and so is an answer
// of more than 1 GiB. When nobody listens, [ErrNotListening] is in the error's chain. GetMetrics does not check whom it talks to:
// see [MetricClient.HealthCheck].
func (c *MetricClient) GetMetrics(ctx context.Context, urlParams map[string]string) (data MetricData, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("metrics of the metric server at %s: %w", c.addr, err)
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, metricsTimeout)
	defer cancel()
	target, err := metricsURL(urlParams)
	if err != nil {
		return "", err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return "", err
	}
	deadline, _ := ctx.Deadline()
	req.Header.Set(scrapeTimeoutHeader, strconv.FormatFloat(time.Until(deadline).Seconds(), 'f', 3, 64))
	a, err := c.do(req, maxMetricsBytes)
	if err != nil {
		return "", err
	}
	if a.status != http.StatusOK {
		return "", a.statusError()
	}
	return MetricData(a.body), nil
}

// metricsURL returns the URL that GetMetrics with these parameters asks for.
func metricsURL(params map[string]string) (*url.URL, error) {
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
	u := serverURL(decoded)
	u.RawPath = path // as the caller wrote it: the server tells %3F from ?
	u.RawQuery = query.Encode()
	return u, nil
}
