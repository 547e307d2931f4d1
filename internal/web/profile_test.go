package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// fetchProfile requests a path from the handler.
func fetchProfile(t *testing.T, h http.Handler, path string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, nil))
	return w
}

func TestProfilesAreOffUnlessAllowed(t *testing.T) {
	h := NewHandler(Options{})
	defer h.Close()
	for _, path := range []string{pathProfileCPU, pathProfileHeap} {
		if got := fetchProfile(t, h, path).Code; got != http.StatusNotFound {
			t.Errorf("%s: status %d", path, got)
		}
	}
}

func TestProfiles(t *testing.T) {
	h := NewHandler(Options{AllowProfiling: true})
	defer h.Close()
	for _, path := range []string{pathProfileCPU + "?seconds=1", pathProfileHeap} {
		w := fetchProfile(t, h, path)
		if w.Code != http.StatusOK {
			t.Fatalf("%s: status %d: %s", path, w.Code, w.Body)
		}
		unzipped, err := gzip.NewReader(bytes.NewReader(w.Body.Bytes()))
		if err != nil {
			t.Fatalf("%s: no profile: %v", path, err)
		}
		if n, err := io.Copy(io.Discard, unzipped); err != nil || n == 0 {
			t.Errorf("%s: a profile of %d bytes: %v", path, n, err)
		}
	}
	for _, seconds := range []string{"0", "61", "x", "-1"} {
		if got := fetchProfile(t, h, pathProfileCPU+"?seconds="+seconds).Code; got != http.StatusBadRequest {
			t.Errorf("%s seconds: status %d", seconds, got)
		}
	}
}

func TestOneProfileAtATime(t *testing.T) {
	h := NewHandler(Options{AllowProfiling: true})
	defer h.Close()
	h.profiler.busy.Lock() // as if a profile were in progress
	defer h.profiler.busy.Unlock()
	if got := fetchProfile(t, h, pathProfileCPU+"?seconds=1").Code; got != http.StatusConflict {
		t.Errorf("a second one: status %d", got)
	}
}
