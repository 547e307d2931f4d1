package collect

import (
	"time"

	"github.com/sandmeter/sandmeter/internal/state"
)

// fileGrace is how long a state file has to fail before it counts as unreadable. runsc writes a
// file several times while a sandbox starts and ends, so a file may be incomplete for a moment.
const fileGrace = time.Second

// fileErrors tracks the unreadable state files of one runtime root across listings, by name.
type fileErrors map[string]*fileError

type fileError struct {
	since  time.Time // first listing in which it failed; zero: it is readable now
	logged string    // the last error that was logged
	budget logBudget
}

// update takes the errors of a new listing, and returns those of files that have failed for
// fileGrace or longer.
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
		case now.Sub(known.budget.since) >= linesTime: // its log budget is full again
			delete(f, name)
		default:
			known.since, known.logged = time.Time{}, ""
		}
	}
	return persistent
}
