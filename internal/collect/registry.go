package collect

import (
	"os"
	"slices"

	"github.com/sandmeter/sandmeter/internal/snapshot"
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

// begin begins a life. isNew: what appears in the runtime root has appeared while the server ran. A sandbox
// that is older than the server and has ended already is nothing to record.
func (r *registry) begin(h *home, facts *state.Sandbox, isNew bool, found sightings) *life {
	l := newLife(r, h)
	r.total++
	l.seen = r.total
	l.learn(facts, &r.schemas, found)
	if !isNew || l.process.BeganBefore(os.Getpid()) {
		l.origin = older
	}
	if l.origin == older && l.now() != created && !l.runs() {
		l.origin = stale
	}
	return l
}

// count begins to count a life in the totals.
func (r *registry) count(l *life) {
	if ledger := r.options.Totals; ledger != nil && l.origin != stale {
		l.totals = ledger.Begin(ledger.Group(l.facts.Namespace, l.facts.Containers[0].Spec.Annotation), l.origin == older)
	}
}

// lose takes note that the state file of a life is gone, or belongs to another life. A sandbox whose process
// is watched, and reserved for it, runs on without the file. The end of any other cannot be observed, so it
// ends with the file.
func (r *registry) lose(l *life) {
	l.logDisappeared()
	r.gone++
	r.recent = append(r.recent, rootAndID{l.home.path, l.facts.ID})
	r.recent = r.recent[max(0, len(r.recent)-maxRecent):]
	r.watcher.Sync() // a process ends before runsc removes its state file
	switch now := l.now(); {
	case !now.lives():
	case !l.holders.has(l):
		l.endNow(snapshot.Vanished)
	case now == running:
		l.move(orphaned)
	}
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

// replace drops a life whose labels the next life has.
func (r *registry) replace(l *life) {
	r.lingering = slices.DeleteFunc(r.lingering, func(other *life) bool { return other == l })
	if l.now().lives() {
		l.endNow(snapshot.Vanished)
	}
	l.drop()
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
	if r.gone == 0 {
		return
	}
	r.gone = 0
	used := make(map[*state.Registration]bool)
	for _, l := range lives {
		used[l.registration()] = true
	}
	r.schemas.keep(used)
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
