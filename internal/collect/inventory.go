package collect

import (
	"errors"
	"io/fs"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
)

// inventory is the sandboxes of one runtime root, from collection to collection.
type inventory struct {
	table *table
	path  string
	label string // the value of the label runtime_root; empty: there is none
	root  *state.Root
	err   error // why it could not be listed; nil: it could

	byID       map[string]*sandbox
	sorted     []*sandbox // by ID
	unreadable int        // state files

	loggedErr  string // the error of the root that the log has
	fileErrors fileErrors
}

func newInventory(t *table, path string) *inventory {
	inv := &inventory{table: t, path: path, root: state.NewRoot(path), fileErrors: make(fileErrors)}
	if !t.roots.single() {
		inv.label = path
	}
	return inv
}

// list makes the inventory hold what the root holds now. Of a root that cannot be read, nothing is known; but for lack of file descriptors
// or memory, which says nothing about the root, it is as it was. The error is the root's.
func (inv *inventory) list() error {
	listing, err := inv.root.List()
	inv.err = err
	if err != nil && lacksResources(err) {
		return err
	}
	inv.update(listing)
	return err
}

// close lets go of all processes. The inventory is of no use after that.
func (inv *inventory) close() {
	for _, s := range inv.sorted {
		s.process.Release()
	}
	inv.table.gone += len(inv.sorted)
}

// serves reports whether a sandbox is to be served.
func (inv *inventory) serves(facts *state.Sandbox) bool {
	o := inv.table.options
	if o.OnlySandbox != "" {
		return facts.ID == o.OnlySandbox
	}
	if o.MatchAddress == "" {
		return facts.Registration != nil
	}
	return facts.MetricServer != "" && config.ExpandAddress(facts.MetricServer, inv.path) == config.ExpandAddress(o.MatchAddress, inv.path)
}

// update makes the inventory hold the sandboxes of the listing that are served, and no others.
func (inv *inventory) update(listing state.Listing) {
	t, known := inv.table, inv.byID
	inv.byID = make(map[string]*sandbox, len(known))
	inv.sorted = inv.sorted[:0]
	for _, facts := range listing.Sandboxes {
		if !inv.serves(facts) {
			continue
		}
		s := known[facts.ID]
		isNew := s == nil || !s.is(facts)
		if isNew {
			s = newSandbox(inv)
			t.total++
		} else {
			delete(known, facts.ID)
		}
		if s.facts != facts {
			s.learn(facts, t.compile(facts.Registration))
		}
		if isNew {
			s.logAppeared()
		}
		inv.byID[facts.ID] = s
		inv.sorted = append(inv.sorted, s)
	}
	for _, gone := range known {
		gone.logDisappeared()
		gone.process.Release()
		t.gone++
	}
	now := t.now()
	persistent := inv.fileErrors.update(listing.Errors, now)
	inv.unreadable = len(persistent)
	inv.logFileErrors(persistent, now)
	t.logNotInstrumented(listing.Sandboxes)
}

// view returns what a snapshot says of the root.
func (inv *inventory) view() snapshot.Root {
	return snapshot.Root{Path: inv.path, Err: inv.err, Unreadable: inv.unreadable}
}

// logError logs that the root cannot be read, or can be read again: once per reason.
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
