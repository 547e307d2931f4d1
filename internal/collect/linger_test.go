package collect

import (
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// expectSandboxesOnPage checks which sandboxes are on the page, and whether they run.
func (n *node) expectSandboxesOnPage(want ...string) {
	n.Helper()
	var got []string
	for _, line := range series(n.page(), runningSeries) {
		_, id, _ := strings.Cut(line, `sandbox="`)
		id, value, _ := strings.Cut(id, `"} `)
		got = append(got, id+"="+value)
	}
	if !slices.Equal(got, want) {
		n.Errorf("on the page are %q, want %q", got, want)
	}
}

// TestLinger: a sandbox that has ended stays for the linger time, whether or not its state file
// does, with its counters and without gauges.
func TestLinger(t *testing.T) {
	for _, removed := range []bool{false, true} {
		t.Run(map[bool]string{false: "with its state file", true: "without"}[removed], func(t *testing.T) {
			n := newNode(t, func(o *Options) { o.Linger = time.Hour })
			points := append(simulate.Idle(), simulate.Point{Metric: "memory_usage", Int: 5})
			registration := simulate.RealRegistration()
			registration.Metrics = append(registration.Metrics, simulate.Metric{Name: "/memory/usage", PrometheusName: "memory_usage"})
			s := n.start(simulate.Spec{ID: "a", OwnProcess: true, Registration: registration, Points: points})
			const gauge = "runsc_memory_usage{"
			n.expect(n.page(), gauge, gauge+`sandbox="a"} 5`)
			if removed {
				s.Remove()
			} else {
				s.Stop()
			}
			var page string
			const outcome = "sandmeter_sandbox_outcome{"
			testkit.Until(t, "it has an outcome", func() bool { page = n.page(); return len(series(page, outcome)) > 0 })
			n.expect(page, runningSeries, `runsc_meta_sandbox_running{sandbox="a"} 0`)
			n.expect(page, opens, `runsc_fs_opens{sandbox="a"} 51`)
			n.expect(page, gauge)
			n.expect(page, outcome, `sandmeter_sandbox_outcome{outcome="killed",sandbox="a",signal="9"} 1`)
			n.expect(page, "sandmeter_sandbox_up{")
			n.pass(59 * time.Minute)
			n.expectSandboxesOnPage("a=0")
			n.pass(time.Minute)
			n.expectSandboxesOnPage()
			n.expectSandboxesOnPage() // the state file is not taken for another life
		})
	}
}

// TestLingerMax: the first to have ended leave first.
func TestLingerMax(t *testing.T) {
	n := newNode(t, func(o *Options) { o.LingerMax = 2 })
	for _, id := range []string{"c", "a", "b"} {
		s := n.start(simulate.Spec{ID: id, OwnProcess: true})
		n.collect()
		s.Stop()
		testkit.Until(t, "its life is closed", func() bool {
			return slices.ContainsFunc(n.collect().Sandboxes, func(s snapshot.Sandbox) bool { return s.Labels.Sandbox == id && s.End != nil })
		})
	}
	n.expectSandboxesOnPage("a=0", "b=0")
}

// TestNextLife: the last life of an ID lingers beside the next one, with its own iteration, whether or not
// both have the same process.
func TestNextLife(t *testing.T) {
	for _, own := range []bool{true, false} {
		n := newNode(t, nil)
		one := n.start(simulate.Spec{ID: "a", OwnProcess: own, Points: []simulate.Point{{Metric: "fs_opens", Int: 7}}})
		n.collect()
		one.Remove()
		n.start(simulate.Spec{ID: "a", Points: []simulate.Point{{Metric: "fs_opens", Int: 3}}})
		page := n.page()
		n.expect(page, opens, `runsc_fs_opens{sandbox="a"} 7`, `runsc_fs_opens{sandbox="a"} 3`)
		lines := slices.Sorted(strings.Lines(page))
		if same := slices.Compact(slices.Clone(lines)); len(same) != len(lines) {
			t.Error("the page has equal lines")
		}
	}
}

// TestUnreadableRoot: while a root cannot be read, its sandboxes are orphans, and their lives go on.
func TestUnreadableRoot(t *testing.T) {
	n, k := newRecordedNode(t, nil)
	n.start(simulate.Spec{ID: "a"})
	n.expectPhases(snapshot.Running)
	inv := n.collector.table.inventories[0]
	readable := inv.root
	inv.root = state.NewRoot("/dev/null")
	n.expectPhases(snapshot.Orphaned)
	inv.root = readable
	n.expectPhases(snapshot.Running)
	n.collector.mu.Lock()
	inv.setListing(state.Listing{}, unix.EMFILE, nil) // the server's fault
	n.collector.mu.Unlock()
	if got := n.life("a").state; got != running {
		t.Errorf("without file descriptors, its state is %s", got)
	}
	n.finish(true)
	if ended := k.all(); len(ended) > 0 {
		t.Errorf("ended are %+v", ended)
	}
}

// TestSeriesLimit: the oldest sandboxes keep their series, however many come.
func TestSeriesLimit(t *testing.T) {
	n := newNode(t, func(o *Options) { o.MaxWithSeries = 2 })
	begin := time.Now().UTC().Add(-time.Hour)
	var sandboxes []*simulate.Sandbox
	for i, id := range []string{"d", "c", "b", "a"} {
		sandboxes = append(sandboxes, n.start(simulate.Spec{ID: id, StartTime: begin.Add(time.Duration(i) * time.Minute)}))
		n.collect()
	}
	hidden := func() (ids []string) {
		for _, s := range n.collect().Sandboxes {
			if s.Hidden == snapshot.HidBySeriesLimit {
				ids = append(ids, s.Labels.Sandbox)
			}
		}
		return ids
	}
	if got := hidden(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("hidden are %q, want a and b", got)
	}
	page := n.page()
	n.expect(page, "sandmeter_sandboxes_without_series{", `sandmeter_sandboxes_without_series{reason="series_limit"} 2`,
		`sandmeter_sandboxes_without_series{reason="unregistered"} 0`)
	n.expect(page, opens, `runsc_fs_opens{sandbox="c"} 51`, `runsc_fs_opens{sandbox="d"} 51`)
	n.collector.options.Linger = 0
	sandboxes[0].Remove()
	testkit.Until(t, "d has left", func() bool { return slices.Equal(hidden(), []string{"a"}) })
}
