package collect

import (
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
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

// isShared reports whether a reason is about all sandboxes together, not about a single one.
func isShared(r failure.Reason) bool {
	return r == failure.OutOfTime || r == failure.PageBudget || r == failure.ReplyBudget
}
