package web

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/api"
	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// sandboxesOf returns the IDs of the sandboxes on a page and reports whether the page has the
// server's own families.
func sandboxesOf(page string) (ids []string, server bool) {
	for line := range strings.Lines(page) {
		if rest, ok := strings.CutPrefix(line, "runsc_meta_sandbox_presence{"); ok {
			_, id, _ := strings.Cut(rest, `sandbox="`)
			id, _, _ = strings.Cut(id, `"`)
			ids = append(ids, id)
		}
		server = server || strings.HasPrefix(line, "process_start_time_seconds ")
	}
	return ids, server
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
		if ids, server := sandboxesOf(w.page("/metrics?" + query)); strings.Join(ids, " ") != want || !server {
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

	var all []string
	for i := range 4 {
		ids, server := sandboxesOf(w.page(fmt.Sprintf("/metrics?shard=%d/4", i)))
		if server != (i == 0) {
			t.Errorf("shard %d has the server's own families: %t", i, server)
		}
		all = append(all, ids...)
	}
	slices.Sort(all)
	if want := []string{"a", "b", "c"}; !slices.Equal(all, want) {
		t.Errorf("all shards have %q, want %q", all, want)
	}
	for _, shard := range []string{"4/4", "-1/4", "1", "1/", "/4", "a/4", "0/1001", "0/0", "1/2/3"} {
		if response := w.get("/metrics?shard=" + shard); response.Code != http.StatusBadRequest || !strings.Contains(response.Body.String(), "give I/N") {
			t.Errorf("shard %s: %d %s", shard, response.Code, response.Body)
		}
	}
}

// TestDiscovery checks that there is one target per running sandbox, or one per shard.
func TestDiscovery(t *testing.T) {
	w := newWorld(t, withAPI)
	if body := w.get("/sd").Body.String(); body != "[]\n" {
		t.Errorf("without sandboxes the targets are %s", body)
	}
	w = newWorld(t, withAPI)
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

// TestSelectedQueries checks that requests cost a query per selected sandbox, whether collections
// are shared or not.
func TestSelectedQueries(t *testing.T) {
	const sandboxes, shards = 200, 10
	w := newWorld(t, func(_ *collect.Options, o *Options) { o.MaxPerSecond = 1e6 })
	fleet, err := simulate.StartFleet(w.root, sandboxes, simulate.FleetOptions{Points: 8, SameOrder: true})
	w.must(err)
	t.Cleanup(func() { _ = fleet.Remove() })
	total := 0
	check := func(what string, more int) {
		t.Helper()
		if total += more; fleet.Stats().Queries != total {
			t.Fatalf("after %s there were %d queries, want %d", what, fleet.Stats().Queries, total)
		}
	}
	scrape := func(s *simulate.Sandbox) {
		if ids, server := sandboxesOf(w.get("/metrics?sandbox=" + s.ID()).Body.String()); !slices.Equal(ids, []string{s.ID()}) || !server {
			t.Errorf("the page of %s has %q, with the server's own: %t", s.ID(), ids, server)
		}
	}
	for _, s := range fleet.Sandboxes[:10] {
		scrape(s)
	}
	check("ten scrapes, one after the other", 10)
	var scrapes sync.WaitGroup
	for _, s := range fleet.Sandboxes {
		scrapes.Go(func() { scrape(s) })
	}
	scrapes.Wait()
	check("a scrape per sandbox, all at once", sandboxes)
	for i := range shards {
		w.page(fmt.Sprintf("/metrics?shard=%d/%d", i, shards))
	}
	check("the shards", sandboxes)
	w.page("/metrics")
	check("a page of all", sandboxes)
	w.page("/metrics?sandbox=none")
	check("a page of none", 0)
	w.page("/metrics?sandbox=none&sandbox=sim-0001&sandbox=sim-0002")
	check("a page of two", 2)
}

// TestDocumentsOfSelections checks that documents use a recent snapshot if it has the sandbox.
func TestDocumentsOfSelections(t *testing.T) {
	w := newWorld(t, func(_ *collect.Options, o *Options) { o.API, o.MaxAge = true, time.Hour })
	a, b := w.start(simulate.Spec{ID: "a"}), w.start(simulate.Spec{ID: "b"})
	check := func(path string, wantA, wantB int) {
		t.Helper()
		w.get(path)
		if gotA, gotB := a.Stats().Queries, b.Stats().Queries; gotA != wantA || gotB != wantB {
			t.Errorf("after %s, a was queried %d times and b %d, want %d and %d", path, gotA, gotB, wantA, wantB)
		}
	}
	check("/api/v1/sandboxes/a", 1, 0)
	check("/api/v1/sandboxes/a", 1, 0)
	check("/metrics?sandbox=a", 1, 0)
	check("/api/v1/sandboxes/b", 1, 1)
	check("/api/v1/sandboxes/a", 1, 1)
	check("/api/v1/sandboxes", 2, 2)
	check("/sd", 2, 2)
	check("/metrics?sandbox=b", 2, 2)
}
