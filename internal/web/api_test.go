package web

import (
	"encoding/json"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/api"
	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// getJSON requests a path and decodes the JSON response.
func getJSON[T any](w *world, path string, wantStatus int) T {
	w.Helper()
	response := w.get(path)
	if kind := response.Header().Get("Content-Type"); response.Code != wantStatus || kind != "application/json" {
		w.Fatalf("%s: status %d, type %s, want %d and JSON:\n%s", path, response.Code, kind, wantStatus, response.Body)
	}
	var d T
	w.must(json.Unmarshal(response.Body.Bytes(), &d))
	return d
}

// TestAPI checks that the documents have the known values of sandboxes, and null for unknown ones.
func TestAPI(t *testing.T) {
	w := newWorld(t, func(_ *collect.Options, o *Options) { o.API = true })
	created := time.Date(2026, 11, 22, 9, 12, 52, 799344464, time.UTC)
	w.start(simulate.Spec{
		ID: "pod", Pod: "web", Namespace: "shop", Root: simulate.Container{CreatedAt: created},
		Registration: &simulate.Registration{Metrics: []simulate.Metric{
			{Name: "/opens", PrometheusName: "opens", Cumulative: true, Type: simulate.Uint64},
			{Name: "/wait", PrometheusName: "wait", Cumulative: true, Type: simulate.Distribution, Buckets: []int64{10, 20}}}},
		Points: []simulate.Point{{Metric: "opens", Int: 7},
			{Metric: "wait", Hist: &simulate.Histogram{Total: 60, Min: 5, Max: 30, SSD: 312.5, Counts: []uint64{1, 2, 1}}}},
	})
	w.start(simulate.Spec{ID: "broken", PID: os.Getppid()})

	list := getJSON[api.List](w, "/api/v1/sandboxes", http.StatusOK).Sandboxes
	if len(list) != 2 || list[0].ID != "broken" {
		t.Fatalf("the list is %+v", list)
	}
	if broken := list[0]; broken.QueryStatus != "failed" || *broken.Reason != "wrong_peer" || broken.Pod != nil || broken.SampledAt != nil || broken.PID != nil {
		t.Errorf("a broken sandbox is %+v", broken)
	}
	if pod := list[1]; pod.QueryStatus != "ok" || *pod.Pod != "web" || *pod.Namespace != "shop" || !pod.CreatedAt.Equal(created) || *pod.PID != os.Getpid() ||
		pod.RuntimeRoot != w.root || pod.SampledAt == nil || !slices.Equal(pod.Containers, []api.Container{{ID: "pod", State: "running"}}) {
		t.Errorf("a sandbox is %+v", pod)
	}

	metrics := getJSON[api.Detail](w, "/api/v1/sandboxes/pod", http.StatusOK).Metrics
	if len(metrics) != 2 || metrics[0].Name != "runsc_opens" || *metrics[0].Value != 7 || metrics[1].Type != "histogram" || metrics[1].Value != nil {
		t.Fatalf("the metrics are %+v", metrics)
	}
	// Each bucket counts all samples up to its bound, and the last one has no bound.
	h := metrics[1].Histogram
	var counts []uint64
	for _, b := range h.Buckets {
		counts = append(counts, b.Count)
	}
	if h.Count != 4 || h.Sum != 60 || !slices.Equal(counts, []uint64{1, 3, 4}) || *h.Buckets[1].UpperBound != 20 || h.Buckets[2].UpperBound != nil {
		t.Errorf("the histogram is %+v", h)
	}
	if d := getJSON[api.Detail](w, "/api/v1/sandboxes/broken", http.StatusOK); d.Metrics != nil || d.ID != "broken" {
		t.Errorf("without metrics, a sandbox is %+v", d)
	}
	if e := getJSON[api.Error](w, "/api/v1/sandboxes/none", http.StatusNotFound); e.Error != `there is no sandbox "none"` || len(e.Candidates) != 0 {
		t.Errorf("of an unknown ID, the document is %+v", e)
	}
	if d := getJSON[map[string]any](w, "/api/v1/openapi.json", http.StatusOK); d["openapi"] == nil {
		t.Errorf("the description is %v", d)
	}
}

// TestAPIOfSeveralRoots checks that an ID in several roots is ambiguous unless the request names a
// root.
func TestAPIOfSeveralRoots(t *testing.T) {
	roots := []string{testkit.TempDir(t), testkit.TempDir(t)}
	w := newWorld(t, func(c *collect.Options, o *Options) { c.Roots, o.API = roots, true })
	for _, root := range roots {
		testkit.Start(t, root, simulate.Spec{ID: "a"})
	}
	if e := getJSON[api.Error](w, "/api/v1/sandboxes/a", http.StatusConflict); len(e.Candidates) != 2 {
		t.Errorf("the candidates are %+v", e.Candidates)
	}
	if d := getJSON[api.Detail](w, "/api/v1/sandboxes/a?runtime_root="+roots[1], http.StatusOK); d.RuntimeRoot != roots[1] {
		t.Errorf("the sandbox is that of %s, want %s", d.RuntimeRoot, roots[1])
	}
	getJSON[api.Error](w, "/api/v1/sandboxes/a?runtime_root=/x", http.StatusNotFound)
}

// TestNoAPI checks that drop-in mode has no JSON API, except for the document about the server.
func TestNoAPI(t *testing.T) {
	status := func(snap *snapshot.Snapshot, err error) any { return []bool{snap != nil, err != nil} }
	w := newWorld(t, func(_ *collect.Options, o *Options) { o.Status = status })
	w.expect(w.get("/api/v1/status"), http.StatusOK, "[true,false]\n")
	for _, path := range []string{"/api/v1/sandboxes", "/api/v1/sandboxes/a", "/api/v1/openapi.json"} {
		w.expect(w.get(path), http.StatusNotFound, "path not found\n")
	}
}
