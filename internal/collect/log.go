package collect

import (
	"time"

	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
)

// logBudget is how much of the log a sandbox has used lately. A hostile one could otherwise fail in another way in each collection.
type logBudget struct {
	since time.Time
	count int
}

// One sandbox may have so many lines in such a time.
const (
	maxLines  = 6
	linesTime = 10 * time.Minute
)

// take counts another line, and reports whether it may be written and whether it is the last for now.
func (b *logBudget) take(now time.Time) (allowed, last bool) {
	if now.Sub(b.since) >= linesTime {
		*b = logBudget{since: now}
	}
	b.count++
	return b.count <= maxLines, b.count == maxLines
}

// logFailures logs why sandboxes have no metrics: once per sandbox and reason, not once per collection.
func (t *table) logFailures() {
	now := time.Now()
	for _, s := range t.sorted {
		again := s.failure == nil && s.logged != "" && s.running()
		other := s.failure != nil && s.failure.Reason != s.logged
		if again || other {
			t.logChange(s, now)
		}
		s.before = s.failure
	}
}

// logChange logs that a sandbox has no metrics any more, or has them again. What must not be logged now is for a later collection to log, if
// it is still so.
func (t *table) logChange(s *sandbox, now time.Time) {
	allowed, last := s.logBudget.take(now)
	if !allowed {
		return
	}
	attrs := []any{"sandbox", s.facts.ID}
	if s.inventory.label != "" {
		attrs = append(attrs, "root", s.inventory.path)
	}
	if s.failure != nil {
		attrs = append(attrs, "reason", s.failure.Reason, "err", s.failure)
	}
	if last {
		attrs = append(attrs, "silent_for", linesTime-now.Sub(s.logBudget.since).Truncate(time.Second))
	}
	if s.failure != nil {
		t.options.Logger.Warn("Sandbox has no metrics", attrs...)
		s.logged = s.failure.Reason
	} else {
		t.options.Logger.Info("Sandbox has metrics again", attrs...)
		s.logged = ""
	}
}

// logCollection logs what a collection was, for debugging.
func (c *Collector) logCollection(snap *snapshot.Snapshot) {
	failed := 0
	for i := range snap.Sandboxes {
		if snap.Sandboxes[i].Failure != nil {
			failed++
		}
	}
	c.options.Logger.Debug("Collection", "roots", len(snap.Roots), "sandboxes", len(snap.Sandboxes), "queries", len(c.queries), "without_metrics", failed,
		"took", time.Since(snap.Began))
}

// logNotInstrumented says once if there are sandboxes that have nothing to be asked for. That is how the most likely mistake shows.
func (t *table) logNotInstrumented(sandboxes []*state.Sandbox) {
	if t.saidNotInstrumented || t.options.MatchAddress != "" || t.options.OnlySandbox != "" {
		return
	}
	for _, facts := range sandboxes {
		if facts.Registration == nil && facts.PID > 0 {
			t.saidNotInstrumented = true
			t.options.Logger.Warn("A sandbox is not instrumented, and not served: create sandboxes with runsc's flag --metric-server, whatever "+
				"its value", "sandbox", facts.ID)
			return
		}
	}
}
