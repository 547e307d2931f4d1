package e2e

import (
	"fmt"
	"slices"
	"testing"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/simulate/liars"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// startLiars starts all liars, and those that send too much five times each. remove ends them.
func (w *world) startLiars() (remove func()) {
	w.t.Helper()
	var lying []*simulate.Sandbox
	for i, l := range liars.All() {
		times := 1
		if slices.Contains(testkit.Reasons(l), "too_long") {
			times = 5
		}
		for k := range times {
			s, err := l.Start(w.root, simulate.Spec{ID: fmt.Sprintf("liar-%03d-%d", i, k)})
			w.must(err)
			w.t.Cleanup(func() { _ = s.Remove() })
			lying = append(lying, s)
		}
	}
	return func() {
		w.t.Helper()
		for _, s := range lying {
			w.must(s.Remove())
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
	remove := w.startLiars()
	opens, pages := map[string]float64{}, 0
	w.until(func() error {
		got := w.scrape()
		for _, reason := range []string{"out_of_time", "root_hung"} {
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
	remove()
	if got := w.scrape().sandboxes(); !slices.Equal(got, real) {
		t.Errorf("sandboxes are %q, want %q", got, real)
	}
	w.wantDescriptors(open)
}
