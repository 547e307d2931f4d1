package web

import (
	"io"
	"net/http"
	"runtime/pprof"
	"testing"

	"github.com/sandmeter/sandmeter/internal/collect"
)

// TestProfiles: profiles are off unless they are allowed, a CPU profile has a limit, and one runs at a time.
func TestProfiles(t *testing.T) {
	check := func(w *world, path string, want int) {
		t.Helper()
		response := w.get(path)
		if magic := response.Body.String()[:2]; response.Code != want || want == http.StatusOK && magic != "\x1f\x8b" {
			t.Errorf("%s: status %d, and the body begins with %q", path, response.Code, magic)
		}
	}
	off := newWorld(t, nil)
	check(off, pathProfileCPU, http.StatusNotFound)
	check(off, pathProfileHeap, http.StatusNotFound)
	w := newWorld(t, func(_ *collect.Options, o *Options) { o.AllowProfiling = true })
	check(w, pathProfileCPU+"?seconds=1", http.StatusOK)
	check(w, pathProfileHeap, http.StatusOK)
	for _, seconds := range []string{"0", "61", "x", "-1"} {
		check(w, pathProfileCPU+"?seconds="+seconds, http.StatusBadRequest)
	}
	w.must(pprof.StartCPUProfile(io.Discard))
	defer pprof.StopCPUProfile()
	check(w, pathProfileCPU+"?seconds=1", http.StatusConflict)
}
