package metricclient

import (
	"net/http"
	"testing"
)

// TestReady: the meaning of responses to a readiness probe.
func TestReady(t *testing.T) {
	check := func(status int, body string, want error, wantText string) {
		t.Helper()
		err := responding(t, status, body).Ready(t.Context())
		if want == nil && wantText == "" {
			if err != nil {
				t.Errorf("%d %q: %v", status, body, err)
			}
			return
		}
		wantError(t, err, want, wantText)
	}
	check(http.StatusOK, "Sandmeter is ready.\n", nil, "")
	check(http.StatusNotFound, "404 page not found", nil, "") // gVisor's own server
	check(http.StatusServiceUnavailable, "no runtime root answers\n", ErrNotReady, "no runtime root answers")
	check(http.StatusUnauthorized, "", ErrUnauthorized, "")
	check(http.StatusInternalServerError, "a defect", nil, "a defect")
}
