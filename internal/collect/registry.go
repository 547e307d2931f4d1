package collect

import (
	"slices"

	"github.com/sandmeter/sandmeter/internal/state"
)

// A registry has the things that the lives of all runtime roots share.
type registry struct {
	*env
	schemas   schemas
	holders   holders
	ends      *endings
	lingering []*life // that have ended and are in snapshots, in the order of their ends
	total     int     // lives ever begun
	gone      int     // lives without a state file since the last cleanup of schemas
	recent    []rootAndID

	loggedNotInstrumented bool
}

// A rootAndID names a sandbox whose state file is gone.
type rootAndID struct{ root, id string }

// maxRecent is how many of them a registry keeps. inotify may report that a state file was created after a
// listing has found that the file or its root is gone.
const maxRecent = 4096

// isRecent reports whether the state file of a sandbox is known to be gone.
func (r *registry) isRecent(root, id string) bool {
	return slices.Contains(r.recent, rootAndID{root, id})
}

// linger keeps a life that has ended in snapshots for a while.
func (r *registry) linger(l *life) {
	if slices.Contains(r.lingering, l) || l.now().leaves() {
		return
	}
	at := len(r.lingering)
	for at > 0 && r.lingering[at-1].final().at.After(l.final().at) {
		at--
	}
	r.lingering = slices.Insert(r.lingering, at, l)
	for len(r.lingering) > r.options.LingerMax {
		r.dropOldest()
	}
}

// expire drops the lives that ended long enough ago.
func (r *registry) expire() {
	now := r.clock.Now()
	for len(r.lingering) > 0 && now.Sub(r.lingering[0].final().at) >= r.options.Linger {
		r.dropOldest()
	}
}

func (r *registry) dropOldest() {
	r.lingering[0].drop()
	r.lingering = slices.Delete(r.lingering, 0, 1)
}

// drop takes a life that has ended off snapshots, and forgets its values once they have been
// recorded. It stays in its inventory as long as its state file, so that it is not taken for a new
// one.
func (l *life) drop() {
	switch l.now() {
	case ended:
		l.move(leaving)
	case closed:
		l.move(gone)
		l.forget()
	}
}

// forgetUnused drops compiled registrations that no life has any more.
func (r *registry) forgetUnused(lives []*life) {
	if r.gone > 0 {
		r.gone = 0
		r.schemas.keep(lives)
	}
}

// logNotInstrumented logs, once, that a sandbox has no registration. A missing flag --metric-server
// is the most common mistake of new users.
func (r *registry) logNotInstrumented(sandboxes []*state.Sandbox) {
	if r.loggedNotInstrumented || r.options.Registrations != nil || r.options.MatchAddress != "" || r.options.OnlySandbox != "" {
		return
	}
	for _, facts := range sandboxes {
		if facts.Registration == nil && facts.PID > 0 {
			r.loggedNotInstrumented = true
			r.options.Logger.Warn("Sandbox is not instrumented and not served; create sandboxes with runsc's flag --metric-server",
				"sandbox", facts.ID)
			return
		}
	}
}
