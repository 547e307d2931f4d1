package collect

import (
	"cmp"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// snapshot returns a snapshot of the current state. A cut is made in the middle of a collection:
// sandboxes that have not replied yet have failed in the cut only, and may still succeed in the
// final snapshot.
func (c *Collector) snapshot(began time.Time, selected snapshot.Union, cut bool) *snapshot.Snapshot {
	now := c.clock.Now()
	c.table.expire()
	failures := c.failures(cut)
	c.applyPageBudget(failures)
	snap := &snapshot.Snapshot{
		Began:     began,
		Time:      now,
		Selected:  selected,
		Sandboxes: make([]snapshot.Sandbox, 0, len(c.table.sorted)),
		Derived:   new(schema.Memo),
	}
	for _, inv := range c.table.inventories {
		snap.Roots = append(snap.Roots, inv.view())
	}
	members := make([]*life, 0, len(c.table.sorted))
	for i, l := range c.table.sorted {
		if l.shown() {
			snap.Sandboxes = append(snap.Sandboxes, c.sandboxOf(l, failures[i]))
			members = append(members, l)
		}
		if !cut {
			l.failure = failures[i]
		}
	}
	c.limitSeries(snap.Sandboxes, members)
	if c.options.Totals != nil {
		for i, l := range members {
			l.countGrowth(&snap.Sandboxes[i])
		}
		snap.Totals = c.options.Totals.View()
	}
	snap.Server = c.serverOf(snap)
	if c.options.Process != nil {
		snap.Process = c.options.Process()
	}
	snap.Sandboxes = selected.Select(snap.Sandboxes) // only now: the census is of all
	return snap
}

// sandboxOf returns a sandbox as it appears in a snapshot.
func (c *Collector) sandboxOf(l *life, failed *failure.Failure) snapshot.Sandbox {
	view := l.view(nil)
	view.Failure = failed
	switch {
	case view.Hidden != snapshot.Shown, view.Phase == snapshot.Created:
		return view
	case view.Phase == snapshot.Ended:
		view = l.view(l.freeze())
		if failed != nil { // beyond the page budget
			view.Failure, view.Reported = failed, snapshot.Source{}
		}
		return view
	case failed == nil:
		view.Replied = l.baseline.When
		view.Reported = l.reported()
	}
	view.Took = l.took
	if l.selected && c.meter != nil {
		view.Usage = l.usageNow()
	}
	return view
}

// serverOf returns the facts about the server itself, and the census of all sandboxes.
func (c *Collector) serverOf(snap *snapshot.Snapshot) snapshot.Server {
	traffic := c.loop.Traffic().Since(c.traffic)
	server := snapshot.Server{
		Sandboxes:    snapshot.Census{Served: c.table.total, Failures: make(map[failure.Reason]int), Hidden: make(map[snapshot.Hiding]int)},
		SingleRoot:   c.table.roots.Single(),
		RootsLeftOut: int(c.table.leftOut.Load()),
		Queries:      traffic.Queries,
		Received:     traffic.Bytes,
	}
	for i := range snap.Sandboxes {
		server.Sandboxes.Count(&snap.Sandboxes[i])
	}
	if c.options.Counters != nil {
		server.Counters = c.options.Counters()
	}
	server.Counters.Unregistrations = fact.Of(c.counts.unregistered, true)
	server.Counters.ExitEventsMissing = c.watcher.MissingExitEvents()
	server.Counters.FinalLogsRefused = fact.Of(c.counts.refusedLogs, c.options.FinalLog != "")
	return server
}

// countGrowth adds the sandbox's growth since the last snapshot to the totals.
func (l *life) countGrowth(view *snapshot.Sandbox) {
	if l.totals != nil && l.end == nil {
		l.totals.Observe(view)
	}
}

// limitSeries hides sandboxes if there are too many, so that the others keep their series however
// many come and go: first those that have ended, then the youngest. members are the sandboxes of the
// snapshot.
func (c *Collector) limitSeries(sandboxes []snapshot.Sandbox, members []*life) {
	limit := c.options.MaxWithSeries
	if limit <= 0 || len(members) <= limit {
		return
	}
	var order []int
	for i := range sandboxes {
		if sandboxes[i].Hidden == snapshot.Shown {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(trueFirst(sandboxes[a].Running(), sandboxes[b].Running()), members[a].compareAge(members[b]))
	})
	for _, i := range order[min(limit, len(order)):] {
		sandboxes[i].Hidden = snapshot.HidBySeriesLimit
	}
}

// trueFirst compares two truths. True is less.
func trueFirst(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return -1
	}
	return 1
}

// compareAge compares when sandboxes were first seen. Of those that are older than the server, the
// state files tell.
func (l *life) compareAge(other *life) int {
	if l.origin != fresh && other.origin != fresh {
		return l.facts.CreatedAt.Compare(other.facts.CreatedAt)
	}
	return cmp.Compare(l.seen, other.seen)
}
