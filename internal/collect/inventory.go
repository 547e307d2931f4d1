package collect

import (
	"errors"
	"io/fs"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/proof"
	"github.com/sandmeter/sandmeter/internal/roots"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
)

// An inventory has the lives of one runtime root. It is kept from collection to collection.
type inventory struct {
	*registry
	home
	place roots.Place // as of the last listing of all roots
	err   error       // why the last listing failed; nil: it did not

	byID       map[string]*life     // those with a state file, also after their end
	sorted     []*life              // of byID, as of the last listing, by ID
	past       []*life              // those without a state file that are still in snapshots, or whose ends are not closed
	unreadable []snapshot.FileError // state files that have been unreadable for a while
	begun      bool                 // the root has been listed, or found missing, so that what appears is new

	loggedErr  string // the last error of the root that was logged
	fileErrors fileErrors
}

// newInventory returns the inventory of a runtime root. labeled: lives have the root as a label. begun: what
// appears in it is new.
func newInventory(r *registry, root *state.Root, path string, labeled, begun bool) *inventory {
	inv := &inventory{registry: r, home: home{path: path, root: root}, fileErrors: make(fileErrors), begun: begun, byID: make(map[string]*life)}
	if labeled {
		inv.label = path
	}
	return inv
}

// list updates the inventory from the runtime root. If the root cannot be read, the inventory
// becomes empty, unless the server lacks file descriptors or memory: then it stays as it is. The
// error is the root's.
func (inv *inventory) list() error {
	listing, err := inv.root.List()
	inv.err = err
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		inv.update(listing)
		inv.begun = true
	case !proof.LacksResources(err):
		// The sandboxes may well run, so their lives go on, but nobody can tell which state files are
		// still there.
		inv.sorted, inv.unreadable = nil, nil
	}
	return err
}

// leave takes note that all state files are gone, because the root is not served any more.
func (inv *inventory) leave() {
	for _, l := range inv.byID {
		inv.lose(l)
	}
	clear(inv.byID)
	inv.sorted = nil
}

// close releases all lives. The inventory must not be used after that.
func (inv *inventory) close() {
	for _, l := range inv.byID {
		l.release()
	}
	for _, l := range inv.past {
		l.release()
	}
}

// serves reports whether the options select a sandbox.
func (inv *inventory) serves(facts *state.Sandbox) bool {
	o := &inv.options
	if o.OnlySandbox != "" {
		return facts.ID == o.OnlySandbox
	}
	if o.MatchAddress == "" {
		return facts.Registration != nil || o.Registrations != nil
	}
	return facts.MetricServer != "" && config.ExpandAddress(facts.MetricServer, inv.path) == config.ExpandAddress(o.MatchAddress, inv.path)
}

// update makes the lives of the inventory those of the listing that the options select.
func (inv *inventory) update(listing state.Listing) {
	known := inv.byID
	inv.byID = make(map[string]*life, len(known))
	inv.sorted = inv.sorted[:0]
	for _, facts := range listing.Sandboxes {
		if !inv.serves(facts) {
			continue
		}
		l := known[facts.ID]
		if l == nil || !l.is(facts) {
			l = inv.begin(facts, l)
		} else {
			delete(known, facts.ID)
			if l.facts != facts {
				l.learn(facts, &inv.schemas)
			}
		}
		inv.byID[facts.ID] = l
		inv.sorted = append(inv.sorted, l)
	}
	for _, l := range known {
		inv.lose(l)
	}
	inv.forgetPast()
	inv.updateErrors(listing.Errors)
	inv.logNotInstrumented(listing.Sandboxes)
}

// updateErrors takes over which state files could not be read.
func (inv *inventory) updateErrors(errs []*state.FileError) {
	now := inv.clock.Now()
	persistent := inv.fileErrors.update(errs, now)
	inv.unreadable = nil // not reused, because snapshots have it
	for _, e := range persistent {
		inv.unreadable = append(inv.unreadable, snapshot.FileError{Name: e.Name, Err: e.Err})
	}
	inv.logFileErrors(persistent, now)
}

// forgetPast removes lives that are not in snapshots any more.
func (inv *inventory) forgetPast() {
	inv.past = slices.DeleteFunc(inv.past, func(l *life) bool { return l.now().leaves() })
}

// begin returns the life of a sandbox of which state files have been found: an orphan, if the state file is
// its own, or a new life. before is the life that had the state file until now, or nil.
func (inv *inventory) begin(facts *state.Sandbox, before *life) *life {
	isNew := inv.begun
	for _, past := range slices.Concat(inv.past, []*life{before}) {
		if past == nil || past.facts.ID != facts.ID || !past.facts.CreatedAt.Equal(facts.CreatedAt) {
			continue
		}
		if past.now() == orphaned && past.facts.PID == facts.PID {
			return inv.adopt(past, facts)
		}
		if final := past.final(); final != nil && final.outcome == snapshot.Vanished {
			isNew = false // the file is back, and what the sandbox did before was counted
		}
		inv.replace(past) // both would have the same labels
	}
	l := inv.registry.begin(&inv.home, facts, isNew)
	inv.count(l)
	l.logAppeared()
	return l
}

// adopt takes back an orphan whose state file is back.
func (inv *inventory) adopt(l *life, facts *state.Sandbox) *life {
	inv.past = slices.DeleteFunc(inv.past, func(other *life) bool { return other == l })
	l.move(running)
	l.learn(facts, &inv.schemas)
	l.logAppeared()
	return l
}

// lose takes note that the state file of a life is gone, or belongs to another life. It stays in snapshots
// for a while.
func (inv *inventory) lose(l *life) {
	inv.registry.lose(l)
	if !l.now().leaves() {
		inv.past = append(inv.past, l)
	}
}

// look returns the life of the sandbox with the ID, which begins with that if it is new, from its state
// file if it is not known to run. nil: there is none, or none that is served. The error is about the state
// file.
func (inv *inventory) look(id string) (*life, error) {
	known := inv.byID[id]
	if known != nil && known.now() != created && known.now().lives() {
		if known.now() == unproven {
			known.findProcess()
		}
		return known, nil
	}
	facts, err := inv.root.Refresh(state.FileName(id))
	switch {
	case err != nil || facts == nil || !inv.serves(facts):
		return known, err
	case known != nil && known.is(facts):
		if known.facts != facts {
			known.learn(facts, &inv.schemas)
		}
		return known, nil
	}
	l := inv.begin(facts, known)
	if known != nil {
		inv.lose(known)
	}
	inv.byID[id] = l
	return l, nil
}

// vanish records the life of a sandbox of which nothing is known but that its state file was created,
// a moment ago. With options that select sandboxes by what is in the file, it may be one that is not
// served, so there is no record.
func (inv *inventory) vanish(id string) {
	o := &inv.options
	if o.MatchAddress != "" || o.OnlySandbox != "" || o.Registrations == nil {
		return
	}
	facts := &state.Sandbox{ID: id, CreatedAt: inv.clock.Now(), Containers: []*state.Container{{ID: id, SandboxID: id}}}
	inv.lose(inv.begin(facts, nil))
}

// view returns the root as it appears in a snapshot.
func (inv *inventory) view() snapshot.Root {
	return snapshot.Root{Path: inv.path, Err: inv.err, Unreadable: inv.unreadable}
}

// logError logs once per error that the root cannot be read, and once that it is readable again.
func (inv *inventory) logError() {
	text := ""
	if inv.err != nil {
		text = inv.err.Error()
	}
	logger := inv.options.Logger
	switch {
	case text == inv.loggedErr:
		return
	case text == "":
		logger.Info("Runtime root is readable", "root", inv.path)
	case errors.Is(inv.err, fs.ErrNotExist):
		logger.Warn("Runtime root does not exist; waiting for it to appear", "root", inv.path)
	default:
		logger.Warn("Runtime root is not readable; its sandboxes are not served", "root", inv.path, "err", text)
	}
	inv.loggedErr = text
}

// logFileErrors logs unreadable state files, once per file and error.
func (inv *inventory) logFileErrors(errs []*state.FileError, now time.Time) {
	logger := inv.options.Logger
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
