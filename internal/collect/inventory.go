package collect

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/guard"
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

	loggedErr  string    // the last error of the root that was logged
	silent     time.Time // of the first listing in a row that the root did not answer; zero: it answered the last one
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

// Limits for guarded calls about one root.
const (
	listLimit = 500 * time.Millisecond // without progress
	lookLimit = 250 * time.Millisecond
)

// hungLogAfter is for how long a root must not answer before the log says so. A busy machine can delay one
// listing beyond listLimit, and that is over with the next one.
const hungLogAfter = 5 * time.Second

// errHung is the error of a root that does not answer.
var errHung = errors.New("the runtime root does not answer: a call to its file system has not returned")

// read reads the runtime root, looks for the processes of its sandboxes, and updates the inventory. It is a
// guarded call: it may hang, except while it holds mu. The error is the root's.
func (inv *inventory) read(alive guard.Progress) error {
	inv.root.Progress = alive
	listing, err := inv.root.List()
	found := inv.locate(alive, listing.Sandboxes...)
	inv.mu.Lock()
	defer inv.mu.Unlock()
	defer found.close()
	if inv.closed {
		return nil
	}
	inv.setListing(listing, err, found)
	return err
}

// locate looks for the processes of the sandboxes that need that.
func (inv *inventory) locate(alive guard.Progress, all ...*state.Sandbox) sightings {
	found := make(sightings)
	inv.mu.Lock()
	for _, facts := range all {
		if inv.serves(facts) && needsProcess(inv.byID[facts.ID], facts) {
			found[facts] = proof.Sighting{}
		}
	}
	inv.mu.Unlock()
	for facts := range found {
		found[facts] = inv.looksLike.Locate(facts, proof.AddressOf(facts, inv.path))
		alive()
	}
	return found
}

// setListing takes over the result of reading the root. If the root is missing, all its state files are
// gone. If it cannot be read for another reason, nobody can tell which are: the sandboxes that run are
// orphans until it can be read again. If the server lacks file descriptors or memory, all stays as it is.
func (inv *inventory) setListing(listing state.Listing, err error, found sightings) {
	inv.err = err
	switch {
	case err == nil, errors.Is(err, fs.ErrNotExist):
		inv.update(listing, found)
		inv.begun = true
	case !proof.LacksResources(err):
		for _, l := range inv.byID {
			if l.now() == running {
				l.move(orphaned)
			}
		}
		inv.unreadable = nil
	}
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

// update makes the lives of the inventory match the part of the listing that the options select.
func (inv *inventory) update(listing state.Listing, found sightings) {
	known := inv.byID
	inv.byID = make(map[string]*life, len(known))
	inv.sorted = inv.sorted[:0]
	for _, facts := range listing.Sandboxes {
		if !inv.serves(facts) {
			continue
		}
		l := known[facts.ID]
		if l == nil || !l.is(facts) {
			l = inv.begin(facts, l, found)
		} else {
			delete(known, facts.ID)
			inv.keep(l, facts, found)
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

// keep updates a life whose state file is still there.
func (inv *inventory) keep(l *life, facts *state.Sandbox, found sightings) {
	if l.now() == orphaned { // the root could not be read for a while
		l.move(running)
	}
	if l.facts != facts {
		l.learn(facts, &inv.schemas, found)
	}
	if _, looked := found[facts]; looked && l.now() == unproven {
		l.take(found.of(facts))
	}
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
func (inv *inventory) begin(facts *state.Sandbox, before *life, found sightings) *life {
	isNew := inv.begun
	for _, past := range slices.Concat(inv.past, []*life{before}) {
		if past == nil || past.facts.ID != facts.ID || !past.facts.CreatedAt.Equal(facts.CreatedAt) {
			continue
		}
		if past.now() == orphaned && past.facts.PID == facts.PID {
			return inv.adopt(past, facts, found)
		}
		if final := past.final(); final != nil && final.outcome == snapshot.Vanished {
			isNew = false // the file is back, and the past of the sandbox was counted
		}
		inv.replace(past) // both would have the same labels
	}
	return inv.newLife(facts, isNew, found)
}

// replace drops a life whose labels the next life has.
func (inv *inventory) replace(l *life) {
	inv.lingering = slices.DeleteFunc(inv.lingering, func(other *life) bool { return other == l })
	if l.now().lives() {
		l.endNow(snapshot.Vanished)
	}
	l.drop()
}

// adopt takes back an orphan whose state file is back.
func (inv *inventory) adopt(l *life, facts *state.Sandbox, found sightings) *life {
	inv.past = slices.DeleteFunc(inv.past, func(other *life) bool { return other == l })
	l.move(running)
	l.learn(facts, &inv.schemas, found)
	l.logAppeared()
	return l
}

// lose takes note that the state file of a life is gone, or belongs to another life. It stays in snapshots
// for a while. A sandbox whose process is watched, and reserved for it, runs on without the file. The end of
// any other cannot be observed, so it ends with the file.
func (inv *inventory) lose(l *life) {
	l.logDisappeared()
	inv.gone++
	inv.recent = append(inv.recent, rootAndID{inv.path, l.facts.ID})
	inv.recent = inv.recent[max(0, len(inv.recent)-maxRecent):]
	inv.watcher.Sync() // a process ends before runsc removes its state file
	switch now := l.now(); {
	case !now.lives():
	case !inv.holders.has(l):
		l.endNow(snapshot.Vanished)
	case now == running:
		l.move(orphaned)
	}
	if !l.now().leaves() {
		inv.past = append(inv.past, l)
	}
}

// look finds the life of the sandbox with the ID, which begins with that if it is new, from its state
// file if it is not known to run, and calls done with it, holding mu. nil: there is none, or none that is
// served. changed is the name of a state file of the sandbox that may have changed, of any container; empty:
// none. The error is about the state file of the root container. look is a guarded call.
func (inv *inventory) look(id, changed string, done func(*life, error)) {
	ofContainer := changed != "" && changed != state.FileName(id)
	if ofContainer {
		_, _ = inv.root.Refresh(changed) // an error of it is found by the next listing
	}
	facts, err := inv.factsOf(id, ofContainer)
	var found sightings
	if facts != nil {
		found = inv.locate(func() {}, facts)
	}
	inv.mu.Lock()
	defer inv.mu.Unlock()
	defer found.close()
	if inv.closed {
		return
	}
	known := inv.byID[id]
	switch {
	case err != nil || facts == nil || !inv.serves(facts):
		done(known, err)
		return
	case known != nil && known.is(facts):
		inv.keep(known, facts, found)
		done(known, nil)
		return
	}
	l := inv.begin(facts, known, found)
	if known != nil {
		inv.lose(known)
	}
	inv.byID[id] = l
	done(l, nil)
}

// factsOf returns the state files of a sandbox, which are read unless it is known to run, or in any case if the
// file of a container has changed.
func (inv *inventory) factsOf(id string, changed bool) (*state.Sandbox, error) {
	inv.mu.Lock()
	known := inv.byID[id]
	if known != nil && !changed && known.now() != created && known.now() != orphaned && known.now().lives() {
		defer inv.mu.Unlock()
		return known.facts, nil
	}
	inv.mu.Unlock()
	return inv.root.Refresh(state.FileName(id))
}

// vanish records the life of a sandbox of which nothing is known but that its state file was created,
// a moment ago. With options that select sandboxes by the contents of the file, it may be one that is not
// served, so there is no record.
func (inv *inventory) vanish(id string) {
	o := &inv.options
	if o.MatchAddress != "" || o.OnlySandbox != "" || o.Registrations == nil {
		return
	}
	facts := &state.Sandbox{ID: id, CreatedAt: inv.clock.Now(), Containers: []*state.Container{{ID: id, SandboxID: id}}}
	inv.lose(inv.begin(facts, nil, nil))
}

// view returns the root as it appears in a snapshot.
func (inv *inventory) view() snapshot.Root {
	return snapshot.Root{Path: inv.path, Err: inv.err, Hung: inv.err == errHung, Unreadable: inv.unreadable}
}

// logError logs once per error that the root cannot be read, and once that it is readable again. absent is the
// level if it does not exist.
func (inv *inventory) logError(absent slog.Level) {
	if inv.isSilent(inv.clock.Now()) {
		return
	}
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
	case errors.Is(inv.err, errHung):
		logger.Warn("Runtime root does not answer; its sandboxes are as they were", "root", inv.path)
	case errors.Is(inv.err, fs.ErrNotExist):
		logger.Log(context.Background(), absent, "Runtime root does not exist; waiting for it to appear", "root", inv.path)
	default:
		logger.Warn("Runtime root is not readable; its sandboxes are not served", "root", inv.path, "err", text)
	}
	inv.loggedErr = text
}

// isSilent reports whether the root has not answered, and not for long enough to log it.
func (inv *inventory) isSilent(now time.Time) bool {
	if !errors.Is(inv.err, errHung) {
		inv.silent = time.Time{}
		return false
	}
	if inv.silent.IsZero() {
		inv.silent = now
	}
	return now.Sub(inv.silent) < hungLogAfter
}

// logFileErrors logs unreadable state files, once per file and error.
func (inv *inventory) logFileErrors(errs []*state.FileError, now time.Time) {
	var all lines
	for _, e := range errs {
		known, text := inv.fileErrors[e.Name], e.Err.Error()
		log := func(silence []any) {
			inv.options.Logger.Warn("State file is not readable", append([]any{"root", inv.path, "file", e.Name, "err", text}, silence...)...)
		}
		if known.logged != text && all.say(&known.budget, now, log) {
			known.logged = text
		}
	}
	if all.more > 0 {
		inv.options.Logger.Warn("More state files are not readable", "root", inv.path, "count", all.more)
	}
}
