package web

import (
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/expo"
)

// TestFormats checks each format in each encoding that a client can request. The headers name both.
// Errors are plain text.
func TestFormats(t *testing.T) {
	const openMetrics = "Accept: application/openmetrics-text"
	w := newWorld(t, func(_ *collect.Options, o *Options) { o.Formats = []expo.Format{expo.Text{}, expo.Protobuf{}} })
	check := func(contentType string, headers ...string) {
		t.Helper()
		for _, encoding := range []string{"", "gzip", "zstd"} {
			response := w.get("/metrics", append(headers, "Accept-Encoding: "+encoding)...)
			header := response.Header()
			if response.Code != http.StatusOK || header.Get("Content-Type") != contentType || header.Get("Content-Encoding") != encoding ||
				header.Get("Vary") != "Accept, Accept-Encoding" || header.Get("Content-Length") != strconv.Itoa(response.Body.Len()) {
				t.Errorf("%s, encoding %q: status %d, %v", headers, encoding, response.Code, header)
			}
			if plain := strings.Contains(response.Body.String(), "Counter of sandboxes that have ever been started."); plain != (encoding == "") {
				t.Errorf("%s, encoding %q: the page is\n%q", headers, encoding, response.Body)
			}
		}
	}
	check("text/plain; version=0.0.4; charset=utf-8", "Accept: */*")
	check("text/plain; version=0.0.4; charset=utf-8", openMetrics) // the server does not offer it
	check("text/plain; version=1.0.0; charset=utf-8", "Accept: text/plain;version=1.0.0")
	check("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=dots", openMetrics,
		"Accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=dots")

	refused := w.get("/metrics?runsc-sandbox-metrics-filter=(", "Accept-Encoding: gzip")
	if header := refused.Header(); header.Get("Content-Encoding") != "" || header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("of a refused request, the headers are %v", header)
	}
}
