package metricclient

import (
	"errors"
	"io"
	"net/http"
	"testing"
)

// TestReady: the meaning of responses to a readiness probe.
func TestReady(t *testing.T) {
	check := func(status int, body string, want error, wantText string) {
		t.Helper()
		c := serving(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != readyPath {
				t.Errorf("requested is %s", r.URL.Path)
			}
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		})
		err := c.Ready(t.Context())
		if want == nil && wantText == "" && err == nil {
			return
		}
		if want != nil && !errors.Is(err, want) {
			t.Errorf("%d %q: %v, want %v", status, body, err, want)
		}
		wantError(t, err, err, wantText)
	}
	check(http.StatusOK, "Sandmeter is ready.\n", nil, "")
	check(http.StatusNotFound, "404 page not found", nil, "") // gVisor's own server
	check(http.StatusServiceUnavailable, "no runtime root answers\n", ErrNotReady, "no runtime root answers")
	check(http.StatusUnauthorized, "", ErrUnauthorized, "")
	check(http.StatusInternalServerError, "a defect", nil, "a defect")
}
