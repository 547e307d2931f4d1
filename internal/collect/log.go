package collect

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/registration"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// logFailures logs why sandboxes have no metrics, once per sandbox and reason rather than once per
// collection.
func (c *Collector) logFailures() {
	now := c.clock.Now()
	var all lines
	shared := make(map[failure.Reason]int)
	for _, l := range c.table.sorted {
		if !l.selected {
			continue
		}
		switch l.before = l.failure; {
		case l.failure != nil && errors.Is(l.failure, registration.ErrSearching): // the result follows in a moment
		case l.failure != nil && isShared(l.failure.Reason):
			shared[l.failure.Reason]++
		case l.hasNews() && all.say(&l.lines, now, l.logChange):
			l.logged = l.reason()
		}
	}
	if all.more > 0 {
		c.options.Logger.Warn("More sandboxes lost or regained their metrics", "count", all.more)
	}
	c.logShared(shared, now)
}

// logShared logs the number of sandboxes without metrics for each shared reason: one line per
// reason and collection.
func (c *Collector) logShared(counts map[failure.Reason]int, now time.Time) {
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		budget := c.sharedLines[reason]
		if budget == nil {
			budget = new(logBudget)
			c.sharedLines[reason] = budget
		}
		if allowed, silence := budget.take(now); allowed {
			attrs := append([]any{"reason", reason, "count", counts[reason], "sandboxes", len(c.table.sorted)}, silence...)
			c.options.Logger.Warn("Sandboxes have no metrics", attrs...)
		}
	}
}

// logCollection logs a summary of the collection at level debug.
func (c *Collector) logCollection(snap *snapshot.Snapshot) {
	failed := 0
	for i := range snap.Sandboxes {
		if snap.Sandboxes[i].Failure != nil {
			failed++
		}
	}
	c.options.Logger.Debug("Collection", "roots", len(snap.Roots), "sandboxes", len(snap.Sandboxes), "queries", len(c.queries), "without_metrics", failed,
		"took", c.clock.Now().Sub(snap.Began))
}

// LogOutcomeSources logs how the Collector learns how sandboxes end.
func (c *Collector) LogOutcomeSources() {
	sources := c.OutcomeSources()
	if slices.Contains(sources, host.SourcePIDFD) || slices.Contains(sources, host.SourceExitEvents) {
		c.options.Logger.Info("Learning how sandboxes end", "sources", strings.Join(sources, ","))
		return
	}
	c.options.Logger.Warn("Most sandboxes will end with outcome unknown: the kernel does not tell how processes end; see docs/known-issues.md",
		"sources", strings.Join(sources, ","))
}
