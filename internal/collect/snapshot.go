package collect

import (
	"cmp"
	"errors"
	"math"
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
	now := time.Now()
	c.table.expire(c.table.now())
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
	members := make([]*sandbox, 0, len(c.table.sorted))
	for i, s := range c.table.sorted {
		if s.shown() {
			snap.Sandboxes = append(snap.Sandboxes, c.sandboxOf(s, failures[i]))
			members = append(members, s)
		}
		if !cut {
			s.failure = failures[i]
		}
	}
	c.limitSeries(snap.Sandboxes, members)
	if c.options.Totals != nil {
		for i, s := range members {
			s.count(&snap.Sandboxes[i])
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

var errCut = errors.New("the reply was not complete at the deadline of the scrape")

// failures returns why sandboxes have no metrics, by index in the table: nil for sandboxes that
// have metrics and for those that have ended. Sandboxes that the collection does not query have the
// failure of the last one that did, except that the page budget is divided anew among all, so that
// a sandbox has the same share of it whatever is selected.
func (c *Collector) failures(cut bool) []*failure.Failure {
	failures := make([]*failure.Failure, len(c.table.sorted))
	for i, s := range c.table.sorted {
		switch {
		case !s.running(), s.unregistered():
		case !s.selected && s.reason() == failure.PageBudget:
		case cut && s.pending, s.selected && s.failure == nil && !s.sampled():
			failures[i] = failure.New(failure.OutOfTime, errCut)
		default:
			failures[i] = s.failure
		}
	}
	return failures
}

// The budget of a page without filters, in bytes of text, is pageBase plus pagePerSandbox for each
// served sandbox.
const (
	pageBase       = 8 << 20
	pagePerSandbox = 64 << 10
)

// applyPageBudget fails the largest sandboxes if all metrics together exceed the page budget. It
// counts the page without filters, so the result does not depend on filters and formats.
func (c *Collector) applyPageBudget(failures []*failure.Failure) {
	table := c.table.sorted
	left := c.pageBase + pagePerSandbox*len(table)
	for i, s := range table {
		if s.hasMetrics(failures[i]) {
			left -= s.textSize
		}
	}
	if left >= 0 {
		return
	}
	var bySize []int
	for i, s := range table {
		if s.hasMetrics(failures[i]) {
			bySize = append(bySize, i)
		}
	}
	slices.SortStableFunc(bySize, func(a, b int) int { return cmp.Compare(table[b].textSize, table[a].textSize) })
	for _, i := range bySize {
		if left >= 0 {
			break
		}
		size := table[i].textSize
		failures[i] = failure.Newf(failure.PageBudget, "the metrics of all sandboxes exceed the page budget, and those of this sandbox (%d bytes) are among the largest", size)
		left += size
	}
}

// sandboxOf returns a sandbox as it appears in a snapshot.
func (c *Collector) sandboxOf(s *sandbox, failed *failure.Failure) snapshot.Sandbox {
	view := s.view(nil)
	view.Failure = failed
	switch {
	case view.Hidden != snapshot.Shown, view.Phase == snapshot.Created:
		return view
	case view.Phase == snapshot.Ended:
		view = s.view(c.freeze(s))
		if failed != nil { // beyond the page budget
			view.Failure, view.Reported = failed, snapshot.Source{}
		}
		return view
	case failed == nil:
		view.Replied = s.baseline.When
		view.Reported = s.reported()
	}
	view.Took = s.took
	if s.selected && c.meter != nil {
		view.Usage = c.usageOf(s)
	}
	return view
}

// view returns a sandbox with its last values, if it has ended.
func (s *sandbox) view(last *frozen) snapshot.Sandbox {
	cpu, wall := s.saved()
	view := snapshot.Sandbox{
		Identity:     s.identity,
		Phase:        s.phase(),
		Checkpointed: s.facts.Checkpointed,
		Restored:     s.facts.Restored,
		CPUSaved:     cpu,
		WallSaved:    wall,
		End:          s.end,
		Derived:      s.derived,
	}
	if s.unregistered() {
		view.Hidden = snapshot.HidUnregistered
	}
	if last != nil {
		view.Replied, view.Reported, view.Usage = last.replied, last.reported, last.usage
	}
	return view
}

// phase returns where the sandbox is in its life.
func (s *sandbox) phase() snapshot.Phase {
	switch {
	case s.running():
		return snapshot.Running
	case s.presence == created && !s.vanished:
		return snapshot.Created
	}
	return snapshot.Ended
}

// serverOf returns the facts about the server itself, and the census of all sandboxes.
func (c *Collector) serverOf(snap *snapshot.Snapshot) snapshot.Server {
	traffic := c.loop.Traffic().Since(c.traffic)
	server := snapshot.Server{
		Sandboxes:    snapshot.Census{Served: c.table.total, Failures: make(map[failure.Reason]int), Hidden: make(map[snapshot.Hiding]int)},
		SingleRoot:   c.table.roots.single(),
		RootsLeftOut: c.table.leftOut,
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
	server.Counters.FinalLogsRefused = fact.Of(c.counts.refusedLogs, c.options.FinalLog != "")
	return server
}

// limitSeries hides sandboxes if there are too many, so that the others keep their series however
// many come and go: first those that have ended, then the youngest. members are the sandboxes of the
// snapshot.
func (c *Collector) limitSeries(sandboxes []snapshot.Sandbox, members []*sandbox) {
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
func (s *sandbox) compareAge(other *sandbox) int {
	if s.older && other.older {
		return s.facts.CreatedAt.Compare(other.facts.CreatedAt)
	}
	return cmp.Compare(s.seen, other.seen)
}

// count counts what the sandbox has done since the last snapshot.
func (s *sandbox) count(view *snapshot.Sandbox) {
	if s.totals != nil && s.end == nil {
		s.totals.Observe(view)
	}
}

// hasMetrics reports whether the sandbox is in the snapshot with metrics that it reported, unless
// they have failed.
func (s *sandbox) hasMetrics(failed *failure.Failure) bool {
	return failed == nil && s.shown() && !s.unregistered() && s.sampled()
}

// reported returns the last verified reply as a source.
func (s *sandbox) reported() snapshot.Source {
	return snapshot.Source{
		Labels:     s.identity.Labels,
		Schema:     s.compiled.schema,
		Time:       s.baseline.When.UnixMilli(),
		Start:      nanoseconds(s.identity.CreatedAt),
		Samples:    s.baseline.Samples,
		Histograms: s.baseline.Histograms,
		TextSize:   s.textSize,
		ZeroSize:   s.zeroSize,
	}
}

// nanoseconds returns a time in nanoseconds since the Unix epoch, and 0 for the zero time and one that has no such number.
func nanoseconds(t time.Time) int64 {
	const last = math.MaxInt64 / int64(time.Second) // seconds
	if s := t.Unix(); s < 0 || s >= last {
		return 0
	}
	return t.UnixNano()
}
