package web

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/api"
	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// sandboxesOf returns the IDs of the sandboxes on a page and reports whether the page has the
// server's own families.
func sandboxesOf(page string) (ids string, server bool) {
	return strings.Join(labelsOf(page, "runsc_meta_sandbox_presence", "sandbox"), " "), strings.Contains(page, "\nprocess_start_time_seconds ")
}

// TestSelection checks that requests select sandboxes by exact values and that all shards together
// are complete.
func TestSelection(t *testing.T) {
	w := newWorld(t, nil)
	w.start(simulate.Spec{ID: "a", Pod: "web", Namespace: "shop"})
	w.start(simulate.Spec{ID: "b", Pod: "web", Namespace: "bank"})
	w.start(simulate.Spec{ID: "c", Pod: "db & co", Namespace: "bank"})
	check := func(query, want string) {
		t.Helper()
		if ids, server := sandboxesOf(w.page("/metrics?" + query)); ids != want || !server {
			t.Errorf("%s selects %q, with the server's own: %t; want %q", query, ids, server, want)
		}
	}
	check("", "a b c")
	check("sandbox=a&sandbox=c", "a c")
	check("pod=web&namespace=bank&namespace=none", "b")
	check("pod=db+%26+co", "c")
	check("sandbox=none", "")
	if page := w.page("/metrics?name[]=runsc_fs_opens&sandbox=a"); strings.Count(page, "# TYPE") != 1 || !strings.Contains(page, "runsc_fs_opens{") {
		t.Errorf("one family is\n%s", page)
	}
	sandboxes := 0
	for i := range 4 {
		ids, server := sandboxesOf(w.page(fmt.Sprintf("/metrics?shard=%d/4", i)))
		if server != (i == 0) {
			t.Errorf("shard %d has the server's own families: %t", i, server)
		}
		sandboxes += len(strings.Fields(ids))
	}
	if sandboxes != 3 {
		t.Errorf("all shards together have %d sandboxes", sandboxes)
	}
	for _, shard := range []string{"4/4", "-1/4", "1", "1/", "/4", "a/4", "0/1001", "0/0", "1/2/3"} {
		if response := w.get("/metrics?shard=" + shard); response.Code != http.StatusBadRequest || !strings.Contains(response.Body.String(), "give I/N") {
			t.Errorf("shard %s: %d %s", shard, response.Code, response.Body)
		}
	}
}

// TestDiscovery checks that there is one target per running sandbox, or one per shard.
func TestDiscovery(t *testing.T) {
	w := newWorld(t, func(_ *collect.Options, o *Options) { o.API = true })
	w.start(simulate.Spec{ID: "a", Pod: "web", Namespace: "shop"})
	w.start(simulate.Spec{ID: "ended", PID: -1})
	targets := getJSON[[]api.Target](w, "/sd", http.StatusOK)
	if len(targets) != 1 || targets[0].Targets[0] != "example.com" || targets[0].Labels["__param_sandbox"] != "a" ||
		targets[0].Labels["instance"] != "example.com/a" || targets[0].Labels["__meta_sandmeter_pod"] != "web" {
		t.Errorf("the targets are %v", targets)
	}
	shards := getJSON[[]api.Target](w, "/sd?shards=2", http.StatusOK)
	if len(shards) != 2 || shards[1].Labels["__param_shard"] != "1/2" || shards[1].Labels["instance"] != "example.com/1" {
		t.Errorf("the shards are %v", shards)
	}
	for _, n := range []string{"0", "-1", "x", "1001"} {
		if code := w.get("/sd?shards=" + n).Code; code != http.StatusBadRequest {
			t.Errorf("%s shards: %d", n, code)
		}
	}
}

// TestQueries checks that a scrape queries the selected sandboxes only, and that documents use a recent
// snapshot if it has the sandbox.
func TestQueries(t *testing.T) {
	w := newWorld(t, func(_ *collect.Options, o *Options) { o.API, o.MaxAge = true, time.Hour })
	a, b := w.start(simulate.Spec{ID: "a"}), w.start(simulate.Spec{ID: "b"})
	check := func(path string, wantA, wantB int) {
		t.Helper()
		w.get(path)
		if gotA, gotB := a.Stats().Queries, b.Stats().Queries; gotA != wantA || gotB != wantB {
			t.Errorf("after %s, a was queried %d times and b %d, want %d and %d", path, gotA, gotB, wantA, wantB)
		}
	}
	check("/metrics?sandbox=none", 0, 0)
	check("/api/v1/sandboxes/a", 1, 0)
	check("/api/v1/sandboxes/a", 1, 0)
	check("/metrics?sandbox=a", 1, 0)
	check("/api/v1/sandboxes/b", 1, 1)
	check("/api/v1/sandboxes/a", 1, 1)
	check("/api/v1/sandboxes", 2, 2)
	check("/sd", 2, 2)
	check("/metrics?sandbox=b", 2, 2)
}
