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

// take counts a line, and reports whether it may be logged. The last line before the limit has an
// attribute: for how long no line follows.
func (b *logBudget) take(now time.Time) (allowed bool, silence []any) {
	if now.Sub(b.since) >= linesTime {
		*b = logBudget{since: now}
	}
	if b.count++; b.count == maxLines {
		silence = []any{"silent_for", linesTime - now.Sub(b.since).Truncate(time.Second)}
	}
	return b.count <= maxLines, silence
}

// maxLinesPerCollection limits the lines per collection about single sandboxes, and those about
// single state files. One more line has the count of the others.
const maxLinesPerCollection = 20

// lines are the lines of one collection about many subjects, each of which has a budget.
type lines struct{ logged, more int }

// say calls log with the attributes to add, unless that would exceed a limit. It reports whether the
// subject's news are told: they are also if they are counted among those beyond the limit of the
// collection, but not if the subject has used up its budget.
func (l *lines) say(b *logBudget, now time.Time, log func(silence []any)) (told bool) {
	if l.logged == maxLinesPerCollection {
		l.more++
		return true
	}
	allowed, silence := b.take(now)
	if allowed {
		l.logged++
		log(silence)
	}
	return allowed
}

// isShared reports whether a reason is about all sandboxes together, not about a single one.
func isShared(r failure.Reason) bool {
	return r == failure.OutOfTime || r == failure.PageBudget || r == failure.ReplyBudget
}
