package collect

import (
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/registration"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
)

// A logBudget limits the rate of log lines about one subject, such as a sandbox. Without it, a
// hostile sandbox could fill the log by failing in a different way in each collection.
type logBudget struct {
	since time.Time
	count int
}

// The limit for each sandbox, state file and shared reason: maxLines in linesTime.
const (
	maxLines  = 6
	linesTime = 10 * time.Minute
)

// take counts a line, and reports whether it may be logged and whether it is the last one that may.
func (b *logBudget) take(now time.Time) (allowed, last bool) {
	if now.Sub(b.since) >= linesTime {
		*b = logBudget{since: now}
	}
	b.count++
	return b.count <= maxLines, b.count == maxLines
}

// silence returns the attribute of the last line before the limit: for how long no line follows.
func (b *logBudget) silence(last bool, now time.Time) []any {
	if !last {
		return nil
	}
	return []any{"silent_for", linesTime - now.Sub(b.since).Truncate(time.Second)}
}

// maxLinesPerCollection limits the lines per collection about single sandboxes, and those about
// single state files. One more line has the count of the others.
const maxLinesPerCollection = 20

// logFailures logs why sandboxes have no metrics, once per sandbox and reason rather than once per
// collection.
func (t *table) logFailures() {
	now := t.now()
	lines, more := 0, 0
	shared := make(map[failure.Reason]int)
	for _, s := range t.sorted {
		if !s.selected {
			continue
		}
		switch s.before = s.failure; {
		case s.failure != nil && errors.Is(s.failure, registration.ErrSearching): // the result follows in a moment
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
		t.options.Logger.Warn("More sandboxes lost or regained their metrics", "count", more)
	}
	t.logShared(shared, now)
}

// isShared reports whether a reason is about all sandboxes together, not about a single one.
func isShared(r failure.Reason) bool {
	return r == failure.OutOfTime || r == failure.PageBudget || r == failure.ReplyBudget
}

// logShared logs the number of sandboxes without metrics for each shared reason: one line per
// reason and collection.
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

// reason returns why the sandbox has no metrics; empty: it has metrics, or it has ended.
func (s *sandbox) reason() failure.Reason {
	if s.failure == nil {
		return ""
	}
	return s.failure.Reason
}

// hasNews reports whether the state of the sandbox differs from what was logged last.
func (s *sandbox) hasNews() bool {
	return s.reason() != s.logged && (s.failure != nil || s.running())
}

// logChange logs that a sandbox lost or regained its metrics, and reports whether the budget
// allowed it. If not, a later collection logs it, unless the state has changed back by then.
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

// attrs returns the attributes of all log lines about the sandbox.
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

// logAppeared logs, at level debug, that the sandbox is served from now on.
func (s *sandbox) logAppeared() {
	s.inventory.table.options.Logger.Debug("Sandbox appeared", append(s.attrs(), "pid", s.facts.PID)...)
}

// logDisappeared logs, at level debug, that the sandbox is no longer served, because its state file
// is gone or belongs to another sandbox.
func (s *sandbox) logDisappeared() {
	s.inventory.table.options.Logger.Debug("Sandbox disappeared", s.attrs()...)
}

// logEnd logs, at level debug, how the sandbox ended.
func (s *sandbox) logEnd() {
	attrs := append(s.attrs(), "outcome", s.end.Outcome)
	switch {
	case s.end.Code != 0:
		attrs = append(attrs, "exit_code", s.end.Code)
	case s.end.Signal != 0:
		attrs = append(attrs, "signal", s.end.Signal)
	}
	s.inventory.table.options.Logger.Debug("Sandbox ended", attrs...)
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
		"took", time.Since(snap.Began))
}

// logNotInstrumented logs, once, that a sandbox has no registration. A missing flag --metric-server
// is the most common mistake of new users.
func (t *table) logNotInstrumented(sandboxes []*state.Sandbox) {
	if t.loggedNotInstrumented || t.options.Registrations != nil || t.options.MatchAddress != "" || t.options.OnlySandbox != "" {
		return
	}
	for _, facts := range sandboxes {
		if facts.Registration == nil && facts.PID > 0 {
			t.loggedNotInstrumented = true
			t.options.Logger.Warn("Sandbox is not instrumented and not served; create sandboxes with runsc's flag --metric-server",
				"sandbox", facts.ID)
			return
		}
	}
}
