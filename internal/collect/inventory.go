package collect

import (
	"errors"
	"io/fs"
	"os"
	"slices"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
)

// An inventory has the sandboxes of one runtime root. It is kept from collection to collection.
type inventory struct {
	table *table
	path  string
	place place  // as of the last listing of all roots
	label string // value of the label runtime_root; empty: no such label
	root  *state.Root
	err   error // why the last listing failed; nil: it did not

	byID       map[string]*sandbox  // those with a state file, also after their end
	sorted     []*sandbox           // of byID, as of the last listing, by ID
	past       []*sandbox           // those without a state file that are still in snapshots, or whose ends are not closed
	unreadable []snapshot.FileError // state files that have been unreadable for a while
	begun      bool                 // the root has been listed, or found missing, so that what appears is new

	loggedErr  string // the last error of the root that was logged
	fileErrors fileErrors
}

func newInventory(t *table, path string) *inventory {
	inv := &inventory{table: t, path: path, root: t.shared.NewRoot(path), fileErrors: make(fileErrors), begun: t.collector.Listed(),
		byID: make(map[string]*sandbox)}
	if !t.roots.single() {
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
	case !lacksResources(err):
		// The sandboxes may well run, so their lives go on, but nobody can tell which state files are
		// still there.
		inv.sorted, inv.unreadable = nil, nil
	}
	return err
}

// leave ends the lives of all sandboxes, because the root is not served any more.
func (inv *inventory) leave() {
	for _, s := range inv.byID {
		inv.lose(s)
	}
	clear(inv.byID)
	inv.sorted = nil
}

// close releases all sandboxes. The inventory must not be used after that.
func (inv *inventory) close() {
	for _, s := range inv.byID {
		s.release()
	}
	for _, s := range inv.past {
		s.release()
	}
}

// serves reports whether the options select a sandbox.
func (inv *inventory) serves(facts *state.Sandbox) bool {
	o := inv.table.options
	if o.OnlySandbox != "" {
		return facts.ID == o.OnlySandbox
	}
	if o.MatchAddress == "" {
		return facts.Registration != nil || o.Registrations != nil
	}
	return facts.MetricServer != "" && config.ExpandAddress(facts.MetricServer, inv.path) == config.ExpandAddress(o.MatchAddress, inv.path)
}

// update makes the sandboxes of the inventory those of the listing that the options select.
func (inv *inventory) update(listing state.Listing) {
	t, known := inv.table, inv.byID
	inv.byID = make(map[string]*sandbox, len(known))
	inv.sorted = inv.sorted[:0]
	for _, facts := range listing.Sandboxes {
		if !inv.serves(facts) {
			continue
		}
		s := known[facts.ID]
		switch {
		case s == nil || !s.is(facts):
			s = inv.begin(facts, s)
		case s.facts != facts:
			s.learn(facts)
			fallthrough
		default:
			delete(known, facts.ID)
		}
		inv.byID[facts.ID] = s
		inv.sorted = append(inv.sorted, s)
	}
	for _, gone := range known {
		inv.lose(gone)
	}
	inv.past = slices.DeleteFunc(inv.past, func(s *sandbox) bool { return s.dropped })
	now := t.now()
	persistent := inv.fileErrors.update(listing.Errors, now)
	inv.unreadable = nil // not reused, because snapshots have it
	for _, e := range persistent {
		inv.unreadable = append(inv.unreadable, snapshot.FileError{Name: e.Name, Err: e.Err})
	}
	inv.logFileErrors(persistent, now)
	t.logNotInstrumented(listing.Sandboxes)
}

// begin begins the life of a sandbox. In the first listing, which finds sandboxes that may be older
// than the server, one that has ended already is nothing to record. before is the life that had the
// state file until now, or nil.
func (inv *inventory) begin(facts *state.Sandbox, before *sandbox) *sandbox {
	t, older := inv.table, !inv.begun
	for _, past := range slices.Concat(inv.past, []*sandbox{before}) {
		if past != nil && past.facts.ID == facts.ID && past.facts.CreatedAt.Equal(facts.CreatedAt) {
			past.drop()                    // both would have the same labels
			older = older || past.vanished // the file is back, and what the sandbox did before was counted
		}
	}
	s := newSandbox(inv)
	t.total++
	s.seen = t.total
	s.learn(facts)
	older = older || s.process.BeganBefore(os.Getpid())
	s.older = older
	s.stale = older && s.presence != created && !s.running()
	if ledger := t.options.Totals; ledger != nil && !s.stale {
		s.totals = ledger.Begin(ledger.Group(facts.Namespace, facts.Containers[0].Spec.Annotation), older)
	}
	s.logAppeared()
	return s
}

// A rootAndID names a sandbox whose state file is gone.
type rootAndID struct{ root, id string }

// maxRecent is how many of them a table keeps. inotify may report that a state file was created after a
// listing has found that the file or its root is gone.
const maxRecent = 4096

// isRecent reports whether the state file of a sandbox is known to be gone.
func (t *table) isRecent(root, id string) bool { return slices.Contains(t.recent, rootAndID{root, id}) }

// lose takes note that the state file of a sandbox is gone, or belongs to another sandbox. If it has
// ended, it stays in snapshots for a while. If not, it ends with that.
func (inv *inventory) lose(s *sandbox) {
	s.logDisappeared()
	t := inv.table
	t.gone++
	t.recent = append(t.recent, rootAndID{inv.path, s.facts.ID})
	t.recent = t.recent[max(0, len(t.recent)-maxRecent):]
	if s.final() == nil && !s.endedBefore() {
		s.vanished = true
		s.endNow()
	}
	if !s.dropped {
		inv.past = append(inv.past, s)
	}
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
	logger := inv.table.options.Logger
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
