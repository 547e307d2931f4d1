package collect

import (
	"errors"
	"io/fs"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
)

// An inventory has the sandboxes of one runtime root. It is kept from collection to collection.
type inventory struct {
	table *table
	path  string
	label string // value of the label runtime_root; empty: no such label
	root  *state.Root
	err   error // why the last listing failed; nil: it did not

	byID       map[string]*sandbox
	sorted     []*sandbox // by ID
	unreadable int        // number of unreadable state files

	loggedErr  string // the last error of the root that was logged
	fileErrors fileErrors
}

func newInventory(t *table, path string) *inventory {
	inv := &inventory{table: t, path: path, root: state.NewRoot(path), fileErrors: make(fileErrors)}
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
	if err != nil && lacksResources(err) {
		return err
	}
	inv.update(listing)
	return err
}

// close releases all sandboxes. The inventory must not be used after that.
func (inv *inventory) close() {
	for _, s := range inv.sorted {
		s.release()
	}
	inv.table.gone += len(inv.sorted)
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
		isNew := s == nil || !s.is(facts)
		if isNew {
			s = newSandbox(inv)
			t.total++
		} else {
			delete(known, facts.ID)
		}
		if s.facts != facts {
			s.learn(facts)
		}
		if isNew {
			s.logAppeared()
		}
		inv.byID[facts.ID] = s
		inv.sorted = append(inv.sorted, s)
	}
	for _, gone := range known {
		gone.logDisappeared()
		gone.release()
		t.gone++
	}
	now := t.now()
	persistent := inv.fileErrors.update(listing.Errors, now)
	inv.unreadable = len(persistent)
	inv.logFileErrors(persistent, now)
	t.logNotInstrumented(listing.Sandboxes)
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
