package metricserver

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/simulate"
)

// TestRegistering: clients register and unregister sandboxes only if that is enabled.
func TestRegistering(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "sb"})
	for o, want := range map[*Options]int{
		{}: http.StatusNotFound, {DropIn: true}: http.StatusNotFound, {EnableRegistering: true}: http.StatusOK, {DropIn: true, EnableRegistering: true}: http.StatusOK,
	} {
		h, err := w.server(*o).Handler()
		w.must(err)
		for _, verb := range []string{"register", "unregister"} {
			form := url.Values{"root": {w.root}, "sandbox": {"sb"}, "timeout": {"0"}}.Encode()
			request, response := httptest.NewRequest(http.MethodPost, "/runsc-metrics/"+verb, strings.NewReader(form)), httptest.NewRecorder()
			request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if h.ServeHTTP(response, request); response.Code != want {
				t.Errorf("%+v: %s: %d %s, want %d", *o, verb, response.Code, response.Body, want)
			}
		}
		w.must(h.Close())
	}
}
