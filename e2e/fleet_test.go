package e2e

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/metricclient"
)

// TestSandboxesOfAnotherServerAreNotServed: a drop-in serves only sandboxes that name its address.
func TestSandboxesOfAnotherServerAreNotServed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := w.container("other", "idle")
	other.MetricServer = "localhost:1"
	w.must(w.node.Run(w.ctx(), other))
	w.startSilent("silent", "idle")
	w.start("ours", "idle")
	w.serve()
	if got := w.scrape().sandboxes(); !slices.Equal(got, []string{"ours"}) {
		t.Errorf("sandboxes: %q", got)
	}
}

// Overlapping scrapes, with and without a filter, all get every sandbox, and no data older than
// their own request.
func TestOverlappingScrapesLoseNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	want := []string{"sb-0", "sb-1", "sb-2"}
	for _, id := range want {
		w.start(id, "idle")
	}
	w.serve()
	const scrapers, scrapes = 8, 20
	type response struct {
		data      metricclient.MetricData
		requested time.Time
		err       error
	}
	responses := make(chan response, scrapers*scrapes)
	var scraping sync.WaitGroup
	for i := range scrapers {
		filter := []string{"", "entry_point"}[i%2]
		scraping.Go(func() {
			for range scrapes {
				requested := time.Now().Truncate(time.Millisecond)
				data, err := w.client.GetMetrics(t.Context(), map[string]string{"runsc-sandbox-metrics-filter": filter})
				responses <- response{data, requested, err}
			}
		})
	}
	scraping.Wait()
	close(responses)
	for r := range responses {
		w.must(r.err)
		p := parsePage(t, r.data)
		for _, metric := range []string{alwaysThere, "runsc_meta_sandbox_metadata"} {
			if got := p.labels(metric, "sandbox"); !slices.Equal(got, want) {
				t.Fatalf("sandboxes of %s: %q, want %q", metric, got, want)
			}
		}
		for _, m := range p.families[alwaysThere].Metric {
			if taken := time.UnixMilli(m.GetTimestampMs()); taken.Before(r.requested) {
				t.Fatalf("a value is %v older than the request for it", r.requested.Sub(taken))
			}
		}
	}
}
