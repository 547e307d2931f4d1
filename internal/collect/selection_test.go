package collect

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// collectOf makes a collection that is limited to the sandboxes with these IDs.
func (n *node) collectOf(ids ...string) *snapshot.Snapshot {
	n.Helper()
	return n.collectPlan(Plan{Deadline: time.Now().Add(time.Minute), Sandboxes: only(ids...)})
}

// only selects the sandboxes with these IDs.
func only(ids ...string) snapshot.Union {
	return snapshot.Unite([]snapshot.Selector{{IDs: snapshot.NewValues(ids)}})
}

// sandboxesIn returns the IDs of the sandboxes in a snapshot, with the reasons of failures.
func sandboxesIn(snap *snapshot.Snapshot) string {
	var all []string
	for _, s := range snap.Sandboxes {
		id := s.Labels.Sandbox
		if s.Failure != nil {
			id += ":" + string(s.Failure.Reason)
		}
		all = append(all, id)
	}
	return strings.Join(all, " ")
}

// expectSandboxes checks the sandboxes in a snapshot, and how many are running and broken on the
// whole node.
func (n *node) expectSandboxes(snap *snapshot.Snapshot, want string, running, broken int) {
	n.Helper()
	if got := sandboxesIn(snap); got != want {
		n.Errorf("the snapshot has %q, want %q", got, want)
	}
	page := text(snap)
	n.expect(page, "runsc_meta_num_sandboxes_running ", fmt.Sprint("runsc_meta_num_sandboxes_running ", running))
	n.expect(page, "runsc_meta_num_sandboxes_broken_metrics ", fmt.Sprint("runsc_meta_num_sandboxes_broken_metrics ", broken))
}

// TestLimitedCollection: only the selected sandboxes are queried and in the snapshot. The server's
// own families about all sandboxes have the last known failures of the others.
func TestLimitedCollection(t *testing.T) {
	n := newNode(t, nil)
	queries := map[string]*simulate.Sandbox{}
	start := func(spec simulate.Spec) { queries[spec.ID] = n.start(spec) }
	start(simulate.Spec{ID: "a", Growth: 1, Points: []simulate.Point{{Metric: "fs_opens", Int: 0}}})
	created := time.Now().UTC()
	start(simulate.Spec{ID: "b", Behavior: simulate.Say("nonsense"), StartTime: created, OwnProcess: true})
	start(simulate.Spec{ID: "c"})
	start(simulate.Spec{ID: "flawed", Registration: &simulate.Registration{Metrics: []simulate.Metric{{Name: "/x", PrometheusName: "meta_x", Cumulative: true}}}})
	expectQueries := func(a, b, c int) {
		t.Helper()
		for id, want := range map[string]int{"a": a, "b": b, "c": c, "flawed": 0} {
			if got := queries[id].Stats().Queries; got != want {
				t.Errorf("%s was queried %d times, want %d", id, got, want)
			}
		}
	}
	// Before its first query nothing is known about b. The state files tell that one is flawed.
	n.expectSandboxes(n.collectOf("a"), "a", 4, 1)
	n.expectSandboxes(n.collectOf("none"), "", 4, 1)
	expectQueries(1, 0, 0)
	n.expectSandboxes(n.collect(), "a b:reply_refused c flawed:registration_refused", 4, 2)
	expectQueries(2, 1, 1)
	n.expectSandboxes(n.collectOf("c"), "c", 4, 2)
	snap := n.collectOf("a", "flawed")
	n.expectSandboxes(snap, "a flawed:registration_refused", 4, 2)
	n.expect(text(snap), opens, `runsc_fs_opens{sandbox="a"} 3`)
	expectQueries(3, 1, 2)
	if !slices.Equal(snap.Selected, only("a", "flawed")) {
		t.Errorf("the snapshot is of %+v", snap.Selected)
	}
	// Another process of the same sandbox, and its end, need no query.
	queries["b"].Stop()
	start(simulate.Spec{ID: "b", StartTime: created, OwnProcess: true})
	n.expectSandboxes(n.collectOf("a"), "a", 4, 1)
	queries["b"].Stop()
	n.expectSandboxes(n.collectOf("a"), "a", 3, 1)
	expectQueries(5, 0, 2)
}

// TestNotQueried: a collection leaves the baselines and time budgets of the sandboxes that it does
// not query as they are, and logs nothing about them. Those that an earlier collection did not
// reach still go first.
func TestNotQueried(t *testing.T) {
	n := newNode(t, nil)
	n.start(simulate.Spec{ID: "a"})
	b := n.start(simulate.Spec{ID: "b", Growth: 1, Restored: true, SavedAtRestore: simulate.Savings{WallTimeSaved: time.Second}})
	n.collect()
	missed := timeBudget{limit: time.Second, used: 20 * time.Second, missed: true}
	*n.budget("b"), *n.savingsBudget("b") = missed, missed
	of := n.life("b")
	before, savings := of.baseline, of.savings
	of.failure = failure.New(failure.OutOfTime, errCut) // logged by the collection that ran out of time
	b.SetBehavior(simulate.Say("nonsense"))
	for range 3 {
		n.collectOf("a")
	}
	if after := of.baseline; !after.When.Equal(before.When) || &after.Samples[0] != &before.Samples[0] || of.savings != savings {
		t.Errorf("the baseline of %v is now that of %v", before.When, after.When)
	}
	if *n.budget("b") != missed || *n.savingsBudget("b") != missed {
		t.Errorf("the budgets are %+v and %+v, want %+v", *n.budget("b"), *n.savingsBudget("b"), missed)
	}
	n.expectLog()
	if order := n.order(); !slices.Equal(order, []string{"b", "a"}) {
		t.Errorf("they are queried in the order %q", order)
	}
	n.expectSandboxes(n.collect(), "a b:reply_refused", 2, 1)
	n.collectOf("a")
	b.SetBehavior(nil)
	n.expectSandboxes(n.collect(), "a b", 2, 0)
	n.expectLog("reason=reply_refused", "Sandbox has metrics again")
}

// TestPageBudget: if all metrics exceed the page budget, the largest sandboxes have none, and the others have
// all of theirs. A selection does not change which sandboxes are over the budget.
func TestPageBudget(t *testing.T) {
	n := newNode(t, func(o *Options) { o.Linger = 0 })
	n.collector.pageBase = 1 << 20
	all := simulate.AllSeries(simulate.RealRegistration())
	const large = 6 // of about 0.3 MB each
	sandboxes := map[string]*simulate.Sandbox{"small": n.start(simulate.Spec{ID: "small", OwnProcess: true})}
	for i := range large {
		id := fmt.Sprintf("large%02d", i)
		sandboxes[id] = n.start(simulate.Spec{ID: id, Points: all, Order: uint64(1 + i), OwnProcess: true})
	}
	whole := n.collect()
	var over []string
	for _, s := range whole.Sandboxes {
		if s.Failure != nil && s.Failure.Reason == failure.PageBudget {
			over = append(over, s.Labels.Sandbox)
		}
	}
	if len(over) == 0 || len(over) == large || slices.Contains(over, "small") {
		t.Fatalf("%q are over the budget", over)
	}
	page := text(whole)
	if got, want := len(series(page, opens)), len(sandboxes)-len(over); got != want {
		t.Errorf("%d sandboxes are on the page, want %d", got, want)
	}
	if limit := n.collector.pageBase + pagePerSandbox*len(sandboxes); len(page) > limit+limit/10 || len(page) < limit/2 {
		t.Errorf("the page has %d bytes, and its budget is %d", len(page), limit)
	}
	const gauge = `sandmeter_over_budget{budget="page"} `
	for id := range sandboxes {
		limited := n.collectOf(id)
		if got := strings.HasSuffix(sandboxesIn(limited), string(failure.PageBudget)); got != slices.Contains(over, id) {
			t.Errorf("selected alone: %s; over the budget are %q", sandboxesIn(limited), over)
		}
		n.expect(text(limited), gauge, fmt.Sprint(gauge, len(over)))
	}
	for id, s := range sandboxes {
		if !slices.Contains(over, id) {
			s.Stop()
		}
	}
	n.expect(text(n.collectOf("none")), gauge, gauge+"0") // there is room for the others now
}
