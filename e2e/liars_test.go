package e2e

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/simulate/liars"
	"github.com/sandmeter/sandmeter/internal/testkit"
	"github.com/sandmeter/sandmeter/metricclient"
)

// crowd has the liars of a world, by ID.
type crowd map[string]*liar

type liar struct {
	liars.Liar
	sandbox *simulate.Sandbox
}

// startLiars starts the liars that a test wants.
func (w *world) startLiars(wanted func(liars.Liar) bool) crowd {
	w.t.Helper()
	c := crowd{}
	for i, l := range liars.All() {
		if wanted(l) {
			id := fmt.Sprintf("liar-%03d", i)
			s, err := l.Start(w.root, simulate.Spec{ID: id})
			w.must(err)
			w.t.Cleanup(func() { _ = s.Remove() })
			c[id] = &liar{l, s}
		}
	}
	return c
}

// check fails the test if a liar is refused for a reason other than its lie. A scrape does not have
// to refuse all liars, and on a busy machine any of them may be late.
func (c crowd) check(t *testing.T, p page) {
	t.Helper()
	for _, failure := range p.find("runsc_meta_sandbox_failure") {
		l := c[failure.labels["sandbox"]]
		if l == nil {
			t.Errorf("sandbox %s, which does not lie, is refused: %s", failure.labels["sandbox"], failure.labels["reason"])
		} else if wants := append(testkit.Reasons(l.Liar), "stalled"); !slices.Contains(wants, failure.labels["reason"]) {
			t.Errorf("%s is refused for %q, want %q", l.Name, failure.labels["reason"], wants)
		}
	}
}

// remove removes all liars.
func (c crowd) remove(t *testing.T) {
	t.Helper()
	for _, l := range c {
		if err := l.sandbox.Remove(); err != nil {
			t.Errorf("%s: %v", l.Name, err)
		}
	}
}

// parseTwice parses a page with parsePage and with the parser of Prometheus's scraper, and fails
// the test if the results differ.
func parseTwice(t *testing.T, data metricclient.MetricData) page {
	t.Helper()
	p := parsePage(t, data)
	scraped, err := countAsPrometheus([]byte(data))
	if err != nil {
		t.Fatalf("Prometheus does not read the page: %v", err)
	}
	samples := 0
	for _, family := range p.families {
		for _, m := range family.Metric {
			samples++
			if m.Histogram != nil {
				samples += len(m.Histogram.Bucket) + 1
			}
		}
	}
	if scraped != samples {
		t.Errorf("Prometheus reads %d samples, its library %d", scraped, samples)
	}
	return p
}

// honesty compares the pages of honest sandboxes with each other.
type honesty struct {
	series map[string]int     // by sandbox, as at the first scrape
	opens  map[string]float64 // by sandbox, as at the last scrape
}

// observe checks all series of sandboxes on a page.
func observe(p page) honesty {
	h := honesty{map[string]int{}, map[string]float64{}}
	for name, family := range p.families {
		if strings.HasPrefix(name, "runsc_meta_") || strings.HasPrefix(name, "sandmeter_") {
			continue
		}
		for _, m := range family.Metric {
			for _, l := range m.Label {
				if l.GetName() == "sandbox" {
					h.series[l.GetValue()]++
					if name == "runsc_fs_opens" {
						h.opens[l.GetValue()] = m.GetCounter().GetValue()
					}
				}
			}
		}
	}
	return h
}

// wantPrintable fails the test if a log has a terminal control character.
func wantPrintable(t *testing.T, log string) {
	t.Helper()
	if !utf8.ValidString(log) {
		t.Error("the log is not UTF-8")
	}
	for line := range strings.Lines(log) {
		bad := strings.IndexFunc(strings.TrimSuffix(line, "\n"), func(r rune) bool { return !unicode.IsPrint(r) })
		if bad >= 0 || len(line) > 4<<10 {
			t.Errorf("a line of the log, of %d bytes, is %.500q", len(line), line)
		}
	}
}

func TestLiarsBesideHonestSandboxes(t *testing.T) {
	w := newSimulatedWorld(t)
	s := w.startServer(w.serveArgs("--linger=0"))
	w.scrape()
	idle, open := w.memory("VmRSS"), w.descriptors()
	const points = 20
	fleet := w.simulateFleet(80, simulate.FleetOptions{Points: points})
	lying := w.startLiars(func(liars.Liar) bool { return true })

	const scrapes, early = 100, 4
	// While the test reads one page, the server makes the next one.
	pages := make(chan timedPage)
	var scraping sync.WaitGroup
	defer scraping.Wait()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	scraping.Go(func() {
		for range scrapes {
			select {
			case pages <- w.tryWithin(ctx, 10*time.Second):
			case <-ctx.Done():
				return
			}
		}
	})
	var first, slowest time.Duration
	var slow int
	var before honesty
	for i := range scrapes {
		page := <-pages
		w.must(page.err)
		switch {
		case i == 0:
			first = page.took
		case i >= early:
			if slowest = max(slowest, page.took); page.took >= sandboxTimeout {
				slow++ // on a busy machine any liar can be late
			}
		}
		got := parseTwice(t, page.data)
		lying.check(t, got)
		now := observe(got)
		for k, s := range fleet.Sandboxes {
			id := s.ID()
			if now.series[id] != points {
				t.Errorf("scrape %d has %d series of honest sandbox %s", i, now.series[id], id)
			}
			if grown := now.opens[id] - before.opens[id]; i > 0 && grown != float64(1+k%9) {
				t.Errorf("scrape %d: a counter of honest sandbox %s grew by %v", i, id, grown)
			}
		}
		if before = now; t.Failed() {
			t.Fatalf("the log says\n%.10000q", s.err.String())
		}
	}
	// If a stalled sandbox had its whole timeout at each scrape, or at every other one, at least
	// half of the scrapes would be slow.
	if slow > (scrapes-early)/4 {
		t.Errorf("%d of %d scrapes took the whole time of a sandbox; the first took %v, the slowest %v", slow, scrapes-early, first, slowest)
	}
	most := w.memory("VmHWM")
	t.Logf("%d liars: the first scrape took %v, the slowest of the later ones %v; memory %d MB, and %d MB before", len(lying), first, slowest, most>>20, idle>>20)
	if most > idle+64<<20 {
		t.Errorf("the server took %d MB, and %d MB before", most>>20, idle>>20)
	}
	lying.remove(t)
	w.must(fleet.Remove())
	if left := w.scrape().sandboxes(); len(left) > 0 {
		t.Errorf("sandboxes that are gone: %q", left)
	}
	w.wantDescriptors(open)
	wantPrintable(t, s.err.String()+s.out.String())
}

func TestLiarsBesideRealSandboxes(t *testing.T) {
	w := newWorld(t)
	s := w.startServer(w.serveArgs("--linger=0"))
	real := []string{"real-0", "real-1", "real-2"}
	for _, id := range real {
		w.start(id, "busy")
	}
	w.untilBegun(len(real))
	open := w.descriptors()
	lying := w.startLiars(func(liars.Liar) bool { return true })
	opens := map[string]float64{}
	for i := range 6 {
		data, _ := w.within(10 * time.Second)
		got := parseTwice(t, data)
		lying.check(t, got) // none is out of time: sandboxes sometimes have 2 s, and a collection 5 s
		for _, id := range real {
			got.wantFailure(t, id, "")
			n, _ := got.value("runsc_fs_opens", "sandbox", id)
			if n <= opens[id] {
				t.Errorf("scrape %d: %s, which is busy, has opened %v files after %v", i, id, n, opens[id])
			}
			opens[id] = n
		}
		if t.Failed() {
			t.Fatalf("the log says\n%.10000q", s.err.String())
		}
	}
	lying.remove(t)
	if got := w.scrape().sandboxes(); !slices.Equal(got, real) {
		t.Errorf("sandboxes are %q, want %q", got, real)
	}
	w.wantDescriptors(open)
}

// TestMemoryWhileAHundredOfAThousandFlood: a hundred sandboxes send replies that are too long, in
// all possible ways.
func TestMemoryWhileAHundredOfAThousandFlood(t *testing.T) {
	var floods []liars.Liar
	for _, l := range liars.All() {
		if slices.Contains(testkit.Reasons(l), "too_long") {
			floods = append(floods, l)
		}
	}
	w := newSimulatedWorld(t)
	w.startServer(w.serveArgs())
	w.scrape()
	idle := w.memory("VmRSS")
	const all, flooding = 1000, 100
	fleet := w.simulateFleet(all, simulate.FleetOptions{Spec: func(i int, spec *simulate.Spec) {
		if i%(all/flooding) == 0 {
			floods[i/(all/flooding)%len(floods)].Spec(spec)
		}
	}})
	served := map[string]bool{}
	for range 10 {
		data, _ := w.within(10 * time.Second)
		if len(served) == all-flooding {
			continue
		}
		// On a slow machine a collection may not reach all of them. The next one begins with the
		// others.
		got := parsePage(t, data)
		found := got.find(alwaysThere)
		for _, s := range found {
			served[s.labels["sandbox"]] = true
		}
		got.wantValue(t, float64(all-len(found)), "runsc_meta_num_sandboxes_broken_metrics")
		for i := range flooding {
			if id := fleet.Sandboxes[i*(all/flooding)].ID(); served[id] {
				t.Errorf("%s, which floods, has metrics", id)
			}
		}
	}
	if len(served) != all-flooding {
		t.Errorf("%d of %d honest sandboxes have metrics", len(served), all-flooding)
	}
	most := w.memory("VmHWM")
	t.Logf("%d ways to flood: memory %d MB, and %d MB before", len(floods), most>>20, idle>>20)
	if most > idle+64<<20 {
		t.Errorf("the server took %d MB, and %d MB before", most>>20, idle>>20)
	}
}

// TestTwentyStalledOfAThousandHoldNoScrapeButTheFirst: stalled sandboxes add 50 ms to each later
// scrape.
func TestTwentyStalledOfAThousandHoldNoScrapeButTheFirst(t *testing.T) {
	w := newSimulatedWorld(t)
	fleet := w.simulateFleet(1000, simulate.FleetOptions{})
	w.startServer(w.serveArgs())
	w.within(10 * time.Second)
	const silent, later = 10, 5
	waits := make(chan time.Duration, 1000) // from the request to a silent sandbox until the server closes the connection
	stall := func(x *simulate.Exchange) error {
		begin := time.Now()
		err := x.Stall() // until the server closes the connection
		waits <- time.Since(begin)
		return err
	}
	stalled := map[string]bool{}
	for i := 0; i < 1000; i += 50 {
		s := fleet.Sandboxes[i]
		stalled[s.ID()] = true
		if i%100 == 0 {
			s.SetBehavior(stall)
		} else {
			s.Freeze()
		}
	}
	var first time.Duration
	// A slow machine may need more than one collection to reach the others.
	w.until(func() error {
		data, took := w.within(10 * time.Second)
		first = cmp.Or(first, took)
		got := parsePage(t, data)
		refused := map[string]bool{}
		for _, failure := range got.find("runsc_meta_sandbox_failure", "reason", "stalled") {
			refused[failure.labels["sandbox"]] = true
		}
		if !maps.Equal(refused, stalled) || len(got.find(alwaysThere)) != 1000-len(stalled) {
			return fmt.Errorf("%d sandboxes have metrics; stalled are %q, want %q", len(got.find(alwaysThere)), slices.Sorted(maps.Keys(refused)), slices.Sorted(maps.Keys(stalled)))
		}
		return nil
	})
	if first < sandboxTimeout {
		t.Errorf("the first scrape took %v, less than a sandbox has", first)
	}
	for len(waits) > 0 {
		<-waits
	}
	for range later {
		w.within(10 * time.Second)
	}
	w.until(func() error {
		if n := len(waits); n < later*silent/2 {
			return fmt.Errorf("the server asked and hung up %d times", n)
		}
		return nil
	})
	var waited []time.Duration
	for len(waits) > 0 {
		waited = append(waited, <-waits)
	}
	slices.Sort(waited)
	median := waited[len(waited)/2]
	t.Logf("the first scrape takes %v; once they have stalled, the server hangs up %v after they have read the request", first, median)
	if median >= sandboxTimeout/2 {
		t.Errorf("once they have stalled, the server hangs up %v after they have read the request", median)
	}
}
