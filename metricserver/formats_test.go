package metricserver

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestFormats: the server offers all formats, but not OpenMetrics in drop-in mode because it would
// rename counters.
func TestFormats(t *testing.T) {
	check := func(dropIn bool, accept, contentType string) {
		t.Helper()
		s, err := New(Options{DropIn: dropIn, Roots: []string{t.TempDir()}})
		if err != nil {
			t.Fatal(err)
		}
		h, err := s.Handler()
		if err != nil {
			t.Fatal(err)
		}
		defer h.Close()
		request, response := httptest.NewRequest(http.MethodGet, "/metrics", nil), httptest.NewRecorder()
		request.Header.Set("Accept", accept)
		h.ServeHTTP(response, request)
		if got := response.Header().Get("Content-Type"); !strings.HasPrefix(got, contentType) {
			t.Errorf("drop-in %t: %s gets %s, want %s", dropIn, accept, got, contentType)
		}
	}
	check(false, openMetricsFormat, openMetricsFormat)
	check(true, openMetricsFormat, textFormat)
	check(true, protobufFormat, protobufFormat)
}
