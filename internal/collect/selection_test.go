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

func (n *node) collectPlan(plan Plan) *snapshot.Snapshot {
	n.Helper()
	snap, err := n.collector.Collect(plan)
	if err != nil {
		n.Fatal(err)
	}
	return snap
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

// TestLimitedCollectionByLabels: sandboxes are selected by the labels that they have on the page.
func TestLimitedCollectionByLabels(t *testing.T) {
	n := newNode(t, nil)
	n.start(simulate.Spec{ID: "a", Pod: "web", Namespace: "shop"})
	n.start(simulate.Spec{ID: "b", Pod: "db", Namespace: "shop"})
	n.start(simulate.Spec{ID: "c", Pod: "web", Namespace: "bank"})
	check := func(want string, of ...snapshot.Selector) {
		t.Helper()
		snap := n.collectPlan(Plan{Deadline: time.Now().Add(time.Minute), Sandboxes: snapshot.Unite(of)})
		if got := sandboxesIn(snap); got != want {
			t.Errorf("%+v selects %q, want %q", of, got, want)
		}
	}
	check("a b", snapshot.Selector{Namespaces: snapshot.NewValues([]string{"shop"})})
	check("b c", snapshot.Selector{Pods: snapshot.NewValues([]string{"db"})}, snapshot.Selector{Namespaces: snapshot.NewValues([]string{"bank"})})
	check("a c", snapshot.Selector{Shard: snapshot.Shard{Index: 0, Count: 2}})
	check("b", snapshot.Selector{Shard: snapshot.Shard{Index: 1, Count: 2}})
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
	of := n.collector.table.inventories[0].byID["b"]
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
	if log := n.log.String(); log != "" {
		t.Errorf("the log is\n%s", log)
	}
	if order := n.order(); !slices.Equal(order, []string{"b", "a"}) {
		t.Errorf("they are queried in the order %q", order)
	}
	n.expectSandboxes(n.collect(), "a b:reply_refused", 2, 1)
	n.collectOf("a")
	b.SetBehavior(nil)
	n.expectSandboxes(n.collect(), "a b", 2, 0)
	if log := n.logLines(); len(log) != 2 || !strings.Contains(log[1], "Sandbox has metrics again") {
		t.Errorf("the log is\n%s", strings.Join(log, "\n"))
	}
}

// TestLimitedCut: a cut has the selected sandboxes, and of the others the last known failures.
func TestLimitedCut(t *testing.T) {
	n := newNode(t, nil)
	release := make(chan struct{})
	n.start(simulate.Spec{ID: "a", Behavior: func(x *simulate.Exchange) error {
		<-release
		return simulate.Honest(x)
	}})
	n.start(simulate.Spec{ID: "b"})
	n.start(simulate.Spec{ID: "c", NoSocket: true})
	n.collectOf("b", "c")
	var cut *snapshot.Snapshot
	now := time.Now()
	snap := n.collectPlan(Plan{
		Sandboxes: only("a"), Deadline: now.Add(time.Minute), Cuts: []time.Time{now.Add(time.Millisecond)},
		OnCut: func(_ int, s *snapshot.Snapshot) {
			cut = s
			close(release)
		},
	})
	n.expectSandboxes(cut, "a:out_of_time", 3, 2)
	n.expectSandboxes(snap, "a", 3, 1)
	if !slices.Equal(cut.Selected, only("a")) {
		t.Errorf("the cut is of %+v", cut.Selected)
	}
}

// TestPageBudgetOfASelection: a sandbox has the same share of the page budget whatever is selected,
// so a selection does not change which sandboxes are over it.
func TestPageBudgetOfASelection(t *testing.T) {
	n := newNode(t, func(o *Options) { o.Linger = 0 })
	n.collector.pageBase = 1 << 20
	all := simulate.AllSeries(simulate.RealRegistration())
	const large = 6 // of about 0.3 MB each
	sandboxes := map[string]*simulate.Sandbox{}
	for i := range large {
		id := fmt.Sprintf("large%02d", i)
		sandboxes[id] = n.start(simulate.Spec{ID: id, Points: all, Order: uint64(1 + i), OwnProcess: true})
	}
	whole := n.collect()
	over := func(s *snapshot.Sandbox) bool { return s.Failure != nil && s.Failure.Reason == failure.PageBudget }
	const gauge = "sandmeter_over_budget"
	want := series(text(whole), gauge)
	if len(want) != 2 || strings.HasSuffix(want[0], " 0") {
		t.Fatalf("nothing is over the budget: %q", want)
	}
	for i := range whole.Sandboxes {
		s := &whole.Sandboxes[i]
		limited := n.collectOf(s.Labels.Sandbox)
		if len(limited.Sandboxes) != 1 || over(&limited.Sandboxes[0]) != over(s) {
			t.Errorf("%s is over the budget: %t, selected alone: %s", s.Labels.Sandbox, over(s), sandboxesIn(limited))
		}
		n.expect(text(limited), gauge, want...)
	}
	for i := range whole.Sandboxes {
		if s := &whole.Sandboxes[i]; !over(s) {
			sandboxes[s.Labels.Sandbox].Stop()
		}
	}
	n.expect(text(n.collectOf("none")), gauge+`{budget="page"`, gauge+`{budget="page"} 0`) // there is room for the others now
}
