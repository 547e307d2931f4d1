package collect

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// hangupGrace is how long a process that closed its control socket may take to end: the kernel
// closes the file descriptors of a process a moment before it has ended.
const hangupGrace = 20 * time.Millisecond

// clearFailuresOfExited clears the failures of sandboxes that ended while they were queried, since
// a sandbox that has ended has not failed. It waits up to hangupGrace, in total, for sandboxes that
// have just closed their sockets.
func (c *Collector) clearFailuresOfExited() {
	ending, failed := c.hungUp()
	if !failed {
		return
	}
	c.watcher.SyncAll()
	c.awaitEnds(ending)
	c.watcher.SyncAll() // for processes without a pidfd
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.table.sorted {
		if !l.runs() {
			l.failure = nil
		}
	}
}

// awaitEnds waits for the ends of processes, up to hangupGrace in total.
func (c *Collector) awaitEnds(ending []*host.Process) {
	passed, stop := c.clock.Timer(hangupGrace)
	defer stop()
	for _, process := range ending {
		select {
		case <-process.Done():
		case <-passed:
			return
		}
	}
}

// hungUp returns the processes that may be ending, and whether any sandbox has failed.
func (c *Collector) hungUp() (ending []*host.Process, failed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.table.sorted {
		l.endsUnreachable()
	}
	for _, l := range c.table.sorted {
		failed = failed || l.failure != nil || l.usage.reported.failure != nil
		if l.now() == running && l.hungUp() {
			ending = append(ending, l.process)
		}
	}
	return ending, failed
}

// hungUp reports whether the process may be ending, since the sandbox hung up for the first time. It
// may have replied to the export query before.
func (l *life) hungUp() bool {
	r := &l.usage.reported
	return l.before == nil && hungUp(l.failure) || r.loggedFailure == "" && hungUp(r.failure)
}

// hungUp reports whether a failure may mean that the process is ending.
func hungUp(f *failure.Failure) bool {
	return f != nil && (f.Reason == failure.Closed || f.Reason == failure.Unreachable)
}

var errCut = errors.New("the reply was not complete at the deadline of the scrape")

// failures returns why sandboxes have no metrics, by index in the table: nil for sandboxes that
// have metrics and for those that have ended. Sandboxes that the collection does not query have the
// failure of the last one that did, except that the page budget is divided anew among all, so that
// a sandbox has the same share of it whatever is selected.
func (c *Collector) failures(cut bool) []*failure.Failure {
	failures := make([]*failure.Failure, len(c.table.sorted))
	for i, l := range c.table.sorted {
		switch {
		case !l.now().runs():
		case !l.selected && l.reason() == failure.PageBudget:
		case cut && l.pending, l.selected && l.failure == nil && !l.sampled():
			failures[i] = failure.New(failure.OutOfTime, errCut)
		default:
			failures[i] = l.failure
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
	bySize := make([]int, 0, len(table))
	for i, l := range table {
		if l.hasMetrics(failures[i]) {
			left -= l.measured.TextSize
			bySize = append(bySize, i)
		}
	}
	if left >= 0 {
		return
	}
	slices.SortStableFunc(bySize, func(a, b int) int { return cmp.Compare(table[b].measured.TextSize, table[a].measured.TextSize) })
	for _, i := range bySize {
		if left >= 0 {
			break
		}
		size := table[i].measured.TextSize
		failures[i] = failure.Newf(failure.PageBudget, "the metrics of all sandboxes exceed the page budget, and those of this sandbox (%d bytes) are among the largest", size)
		left += size
	}
}

// hasMetrics reports whether the sandbox is in the snapshot with metrics that it reported, unless
// they have failed.
func (l *life) hasMetrics(failed *failure.Failure) bool {
	return failed == nil && l.shown() && l.hiding == snapshot.Shown && l.sampled()
}
