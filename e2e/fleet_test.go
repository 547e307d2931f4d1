package e2e

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/metricclient"
)

func TestServerStoppedAndStartedAgain(t *testing.T) {
	w := newWorld(t)
	w.serve()
	w.start("stays", "idle")
	w.start("goes", "idle")
	w.scrape()
	w.stop()
	w.remove("goes")
	w.start("comes", "idle")
	w.serve()
	p := w.scrape()
	want := []string{"comes", "stays"}
	for _, metric := range []string{"runsc_meta_sandbox_presence", alwaysThere, "runsc_meta_sandbox_metadata"} {
		if got := p.labels(metric, "sandbox"); !slices.Equal(got, want) {
			t.Errorf("sandboxes of %s after the restart: %q, want %q", metric, got, want)
		}
	}
}

func TestFiveBesideOneThatDidNotAsk(t *testing.T) {
	w := newWorld(t)
	w.serve()
	var ids []string
	for i := range 5 {
		id := "sb-" + strconv.Itoa(i)
		ids = append(ids, id)
		w.start(id, "idle")
	}
	silent := w.container("silent", "idle")
	silent.MetricServer = ""
	w.must(w.node.Run(w.ctx(), silent))

	wantSandboxes := func(want []string) {
		t.Helper()
		p := w.scrape()
		for _, metric := range []string{"runsc_meta_sandbox_presence", alwaysThere} {
			if got := p.labels(metric, "sandbox"); !slices.Equal(got, want) {
				t.Errorf("sandboxes of %s: %q, want %q", metric, got, want)
			}
		}
		p.wantValue(t, float64(len(want)), "runsc_meta_num_sandboxes_running")
	}
	wantSandboxes(ids)
	w.remove("sb-0", "sb-2", "sb-4")
	wantSandboxes([]string{"sb-1", "sb-3"})
	w.scrape().wantValue(t, 5, "runsc_meta_num_sandboxes_total")
}

func TestSandboxesOfAnotherServerAreNotServed(t *testing.T) {
	w := newWorld(t)
	other := w.container("other", "idle")
	other.MetricServer = "localhost:1"
	w.must(w.node.Run(w.ctx(), other))
	w.start("ours", "idle")
	w.serve()
	if got := w.scrape().sandboxes(); !slices.Equal(got, []string{"ours"}) {
		t.Errorf("sandboxes: %q", got)
	}
}

// Overlapping scrapes, with and without a filter, all get every sandbox, and no data older than
// their own request.
func TestOverlappingScrapesLoseNothing(t *testing.T) {
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
