package e2e

import (
	"fmt"
	"slices"
	"strings"
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

// startLiars starts all liars, and those that send too much five times each.
func (w *world) startLiars() crowd {
	w.t.Helper()
	c := crowd{}
	for i, l := range liars.All() {
		times := 1
		if slices.Contains(testkit.Reasons(l), "too_long") {
			times = 5
		}
		for k := range times {
			id := fmt.Sprintf("liar-%03d-%d", i, k)
			s, err := l.Start(w.root, simulate.Spec{ID: id})
			w.must(err)
			w.t.Cleanup(func() { _ = s.Remove() })
			c[id] = &liar{l, s}
		}
	}
	return c
}

// late are the reasons of sandboxes that a collection does not reach in time, on a slow machine.
var late = []string{"out_of_time", "root_hung"}

// check fails the test if a liar is refused for a reason other than its lie. A scrape does not have
// to refuse all liars, and on a busy machine any of them may be late.
func (c crowd) check(t *testing.T, p page) {
	t.Helper()
	for _, failure := range p.find("runsc_meta_sandbox_failure") {
		l := c[failure.labels["sandbox"]]
		if slices.Contains(late, failure.labels["reason"]) {
			continue
		}
		if l == nil {
			t.Errorf("sandbox %s, which does not lie, is refused: %s", failure.labels["sandbox"], failure.labels["reason"])
		} else if wants := append(testkit.Reasons(l.Liar), "stalled", "reply_budget"); !slices.Contains(wants, failure.labels["reason"]) {
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

// TestLiarsBesideRealSandboxes: all liars at once cost real sandboxes nothing, and the server little memory.
func TestLiarsBesideRealSandboxes(t *testing.T) {
	w := newWorld(t)
	s := w.startServer(w.serveArgs("--linger=0"))
	real := []string{"real-0", "real-1", "real-2"}
	for _, id := range real {
		w.start(id, "busy")
	}
	w.untilBegun(len(real))
	idle, open := w.memory("VmRSS"), w.descriptors()
	lying := w.startLiars()
	opens, pages := map[string]float64{}, 0
	w.until(func() error {
		data, _ := w.within(10 * time.Second)
		got := parseTwice(t, data)
		lying.check(t, got)
		for _, reason := range late {
			if len(got.find("runsc_meta_sandbox_failure", "reason", reason, "sandbox", real[0])) > 0 {
				return errNot("the collection reaches all sandboxes: " + reason) // so many new ones take a slow machine too long
			}
		}
		for _, id := range real {
			got.wantFailure(t, id, "")
			n, _ := got.value("runsc_fs_opens", "sandbox", id)
			if n <= opens[id] {
				t.Errorf("page %d: %s, which is busy, has opened %v files after %v", pages, id, n, opens[id])
			}
			opens[id] = n
		}
		if t.Failed() {
			t.Fatalf("the log says\n%.10000q", s.err.String())
		}
		if pages++; pages < 5 {
			return fmt.Errorf("%d pages were checked", pages)
		}
		return nil
	})
	if most := w.memory("VmHWM"); most > idle+64<<20 {
		t.Errorf("the server took %d MB, and %d MB before", most>>20, idle>>20)
	}
	lying.remove(t)
	if got := w.scrape().sandboxes(); !slices.Equal(got, real) {
		t.Errorf("sandboxes are %q, want %q", got, real)
	}
	w.wantDescriptors(open)
	wantPrintable(t, s.err.String()+s.out.String())
}
