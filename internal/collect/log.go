package collect

import (
	"maps"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
)

// logBudget is how much of the log something, such as a sandbox, has used lately. A hostile sandbox could otherwise fail in another way in each collection.
type logBudget struct {
	since time.Time
	count int
}

// One sandbox, state file or shared reason may have so many lines in such a time.
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

// silence returns what the last line for now says: for how long there are no more.
func (b *logBudget) silence(last bool, now time.Time) []any {
	if !last {
		return nil
	}
	return []any{"silent_for", linesTime - now.Sub(b.since).Truncate(time.Second)}
}

// maxLinesPerCollection is how many sandboxes, or state files, have lines of their own in one collection. The others are counted in one more.
const maxLinesPerCollection = 20

// logFailures logs why sandboxes have no metrics: once per sandbox and reason, not once per collection.
func (t *table) logFailures() {
	now := t.now()
	lines, more := 0, 0
	shared := make(map[failure.Reason]int)
	for _, s := range t.sorted {
		switch s.before = s.failure; {
		case s.failure != nil && isShared(s.failure.Reason):
			shared[s.failure.Reason]++
		case !s.hasNews():
		case lines < maxLinesPerCollection:
			if s.logChange(now) {
				lines++
			}
		default:
			s.logged = s.reason()
			more++
		}
	}
	if more > 0 {
		t.options.Logger.Warn("More sandboxes have no metrics, or have them again; the page says which, and why", "count", more)
	}
	t.logShared(shared, now)
}

// isShared reports whether a reason is about all sandboxes together, and says nothing about the one that has it.
func isShared(r failure.Reason) bool {
	return r == failure.OutOfTime || r == failure.PageBudget || r == failure.ReplyBudget
}

// logShared logs how many sandboxes have no metrics for reasons that are about all sandboxes together: one line per reason and collection.
func (t *table) logShared(counts map[failure.Reason]int, now time.Time) {
	for _, reason := range slices.Sorted(maps.Keys(counts)) {
		budget := t.sharedBudgets[reason]
		if budget == nil {
			budget = new(logBudget)
			t.sharedBudgets[reason] = budget
		}
		if allowed, last := budget.take(now); allowed {
			attrs := append([]any{"reason", reason, "count", counts[reason], "sandboxes", len(t.sorted)}, budget.silence(last, now)...)
			t.options.Logger.Warn("Sandboxes have no metrics", attrs...)
		}
	}
}

// reason returns why the sandbox has no metrics; empty: it has, or it has ended.
func (s *sandbox) reason() failure.Reason {
	if s.failure == nil {
		return ""
	}
	return s.failure.Reason
}

// hasNews reports whether the log does not have what is so now.
func (s *sandbox) hasNews() bool {
	return s.reason() != s.logged && (s.failure != nil || s.running())
}

// logChange logs that a sandbox has no metrics any more, or has them again, and reports whether it did. What must not be logged now is for a
// later collection to log, if it is still so.
func (s *sandbox) logChange(now time.Time) bool {
	allowed, last := s.logBudget.take(now)
	if !allowed {
		return false
	}
	attrs := s.attrs()
	if s.failure != nil {
		attrs = append(attrs, "reason", s.failure.Reason, "err", s.failure)
	}
	attrs = append(attrs, s.logBudget.silence(last, now)...)
	logger := s.inventory.table.options.Logger
	if s.failure != nil {
		logger.Warn("Sandbox has no metrics", attrs...)
	} else {
		logger.Info("Sandbox has metrics again", attrs...)
	}
	s.logged = s.reason()
	return true
}

// attrs returns what lines about the sandbox say of it.
func (s *sandbox) attrs() []any {
	attrs := []any{"sandbox", s.facts.ID}
	add := func(name, value string) {
		if value != "" {
			attrs = append(attrs, name, value)
		}
	}
	add("pod", s.identity.Labels.Pod)
	add("namespace", s.identity.Labels.Namespace)
	add("root", s.inventory.label)
	return attrs
}

// logAppeared logs, for debugging, that the sandbox is served from now on.
func (s *sandbox) logAppeared() {
	s.inventory.table.options.Logger.Debug("Sandbox appeared", append(s.attrs(), "pid", s.facts.PID)...)
}

// logDisappeared logs, for debugging, that the sandbox is served no longer, because its state file is gone or is another sandbox's.
func (s *sandbox) logDisappeared() {
	s.inventory.table.options.Logger.Debug("Sandbox disappeared", s.attrs()...)
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
