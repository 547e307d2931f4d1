package metricserver

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

// TestFormats: the server offers all formats, but not OpenMetrics in drop-in mode because it would
// rename counters.
func TestFormats(t *testing.T) {
	const openMetrics = "application/openmetrics-text"
	protobuf := "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
	check := func(o Options, accept, contentType string) {
		t.Helper()
		w := newWorld(t)
		w.start(simulate.Spec{ID: "a"})
		r := w.run(w.server(o))
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://x/metrics", nil)
		w.must(err)
		request.Header.Set("Accept", accept)
		response, err := r.client.Do(request)
		w.must(err)
		defer response.Body.Close()
		if got := response.Header.Get("Content-Type"); !strings.HasPrefix(got, contentType) {
			t.Errorf("%+v: %s gets %s, want %s", o, accept, got, contentType)
		}
	}
	unix := func(o Options) Options {
		o.Addresses = []string{"%RUNTIME_ROOT%/m.sock"}
		return o
	}
	check(unix(Options{}), openMetrics, openMetrics)
	check(unix(Options{}), protobuf, protobuf)
	check(unix(Options{DropIn: true}), openMetrics, "text/plain; version=0.0.4")
	check(unix(Options{DropIn: true}), protobuf, protobuf)
	check(unix(Options{DropIn: true}), "text/plain;version=1.0.0", "text/plain; version=1.0.0")
}
