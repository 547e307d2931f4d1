package collect

import (
	"time"

	"github.com/sandmeter/sandmeter/internal/state"
)

// fileGrace is for how long a state file may fail before it counts as unreadable. runsc writes a file several times while a sandbox starts and
// ends, and what is read in between can be half of it.
const fileGrace = time.Second

// fileErrors are the state files of one runtime root that fail, from listing to listing.
type fileErrors map[string]*fileError

type fileError struct {
	since  time.Time // when it failed first; zero: it is readable now
	logged string    // the error that the log has
	budget logBudget
}

// update takes in the errors of a listing, and returns those of files that were unreadable in an earlier listing too.
func (f fileErrors) update(errs []*state.FileError, now time.Time) []*state.FileError {
	failing := make(map[string]bool, len(errs))
	var persistent []*state.FileError
	for _, e := range errs {
		failing[e.Name] = true
		known := f[e.Name]
		switch {
		case known == nil:
			f[e.Name] = &fileError{since: now}
		case known.since.IsZero():
			known.since = now
		case now.Sub(known.since) >= fileGrace:
			persistent = append(persistent, e)
		}
	}
	for name, known := range f {
		switch {
		case failing[name]:
		case now.Sub(known.budget.since) >= linesTime: // its budget is whole again
			delete(f, name)
		default:
			known.since, known.logged = time.Time{}, ""
		}
	}
	return persistent
}

// logFileErrors logs which state files cannot be read: once per file and reason.
func (inv *inventory) logFileErrors(errs []*state.FileError, now time.Time) {
	logger := inv.table.options.Logger
	lines, more := 0, 0
	for _, e := range errs {
		known, text := inv.fileErrors[e.Name], e.Err.Error()
		if known.logged == text {
			continue
		}
		if lines == maxLinesPerCollection {
			known.logged = text
			more++
			continue
		}
		allowed, last := known.budget.take(now)
		if !allowed {
			continue
		}
		known.logged = text
		lines++
		logger.Warn("State file is not readable", append([]any{"root", inv.path, "file", e.Name, "err", text}, known.budget.silence(last, now)...)...)
	}
	if more > 0 {
		logger.Warn("More state files are not readable", "root", inv.path, "count", more)
	}
}
