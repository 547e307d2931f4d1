package collect

import (
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/sandmeter/sandmeter/internal/guard"
	"github.com/sandmeter/sandmeter/internal/proof"
	"github.com/sandmeter/sandmeter/internal/roots"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
)

// A table has the runtime roots and their lives. It is kept from collection to collection. The collector's
// mu guards it, except for what its exported methods return.
type table struct {
	*registry
	roots       roots.List
	ways        roots.Ways
	shared      *state.Shared
	expander    *roots.Expander       // only for the holder of turn
	inventories []*inventory          // one for each served root, in the order of the configuration
	byPath      map[string]*inventory // the same, by clean paths
	lost        []*inventory          // of roots that are not served any more, as long as they have lives in snapshots
	sorted      []*life               // of all roots that are in snapshots, by ID, then by the order of roots, then by age

	served  atomic.Pointer[[]string] // paths of inventories
	listed  atomic.Bool              // the roots have been listed without an error
	leftOut atomic.Int64             // roots that are not served because there are too many
	hung    atomic.Bool              // no root answers
}

func newTable(e *env, ends *endings) *table {
	o := &e.options
	t := &table{
		registry: &registry{env: e, ends: ends, holders: make(holders), schemas: schemas{zeros: o.Zeros, compiled: make(map[string]*compiled)}},
		roots:    o.Roots,
		ways:     roots.NewWays(o.Roots),
		shared:   state.NewShared(o.GroupAnnotation),
		expander: roots.NewExpander(o.Roots, e.guard),
	}
	t.publish()
	return t
}

func (t *table) close() {
	for _, inv := range slices.Concat(t.inventories, t.lost) {
		inv.close()
	}
	t.inventories, t.byPath, t.sorted = nil, nil, nil
}

// expand makes an inventory for each directory to serve now, and leaves the inventories of others. Only a
// caller that holds turn may call it, without mu.
func (t *table) expand() {
	t.mu.Lock()
	held := make(map[string]bool)
	for path, inv := range t.byPath {
		held[path] = len(inv.byID) > 0
	}
	t.mu.Unlock()
	places, leftOut := t.expander.Expand(func(path string) bool { return held[filepath.Clean(path)] })
	t.mu.Lock()
	defer t.mu.Unlock()
	t.serve(places)
	if len(leftOut) > 0 && t.leftOut.Load() == 0 {
		t.options.Logger.Warn("Too many runtime roots; some are not served", "limit", roots.MaxRoots, "left_out", len(leftOut), "example", leftOut[0])
	}
	t.leftOut.Store(int64(len(leftOut)))
}

// serve gives each place an inventory, and drops the others.
func (t *table) serve(places []roots.Place) {
	before := t.inventories
	t.inventories = make([]*inventory, 0, len(places))
	for _, place := range places {
		inv := t.known(place)
		if inv == nil {
			inv = t.inventory(place.Path)
		}
		inv.place = place
		t.inventories = append(t.inventories, inv)
	}
	t.publish()
	for _, inv := range before {
		if t.byPath[filepath.Clean(inv.path)] != inv {
			inv.leave()
			t.lost = append(t.lost, inv)
		}
	}
}

// read reads all runtime roots, and sorts what they have. A root that does not answer stays as it is. The
// error is of a root, for which the server lacks resources. The caller holds turn, and not mu.
func (t *table) read() error {
	t.mu.Lock()
	inventories := slices.Clone(t.inventories)
	t.mu.Unlock()
	paths := make([]string, len(inventories))
	for i, inv := range inventories {
		paths[i] = inv.path
	}
	errs := guard.Each(t.guard, listLimit, paths, func(i int, alive guard.Progress) error { return inventories[i].read(alive) })
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hung.Store(len(errs) == 0 && len(inventories) > 0)
	for i, inv := range inventories {
		err, answered := errs[i]
		if !answered {
			inv.err = errHung
		}
		if proof.LacksResources(err) {
			return err
		}
	}
	absent := slog.LevelWarn
	if slices.ContainsFunc(inventories, func(inv *inventory) bool { return inv.err == nil }) {
		absent = slog.LevelInfo // as usual: the packages name the roots of several engines
	}
	for _, inv := range inventories {
		inv.logError(absent)
	}
	t.merge()
	t.schemas.lend(t.sorted, t.sorted...)
	t.forgetUnused(t.sorted)
	t.listed.Store(true)
	return nil
}

// publish updates byPath and the result of Collector.Roots.
func (t *table) publish() {
	t.byPath = make(map[string]*inventory, len(t.inventories))
	paths := make([]string, 0, len(t.inventories))
	for _, inv := range t.inventories {
		t.byPath[filepath.Clean(inv.path)] = inv
		paths = append(paths, inv.path)
	}
	t.served.Store(&paths)
}

// known returns the inventory of a directory that is already served, or nil. It keeps the name under
// which it was first served, even if the configuration has another name for it first.
func (t *table) known(p roots.Place) *inventory {
	for _, path := range append([]string{p.Path}, p.Aliases...) {
		if inv := t.inventoryOf(path); inv != nil {
			return inv
		}
	}
	return nil
}

// inventory returns the inventory for a directory that is served from now on: the previous one if
// sandboxes from it are still in snapshots, else a new one.
func (t *table) inventory(path string) *inventory {
	i := slices.IndexFunc(t.lost, func(inv *inventory) bool { return inv.path == path })
	if i < 0 {
		return newInventory(t.registry, t.shared.NewRoot(path), path, !t.roots.Single(), t.listed.Load())
	}
	inv := t.lost[i]
	t.lost = slices.Delete(t.lost, i, i+1)
	return inv
}

// inventoryOf returns the inventory of a root that is served now, or nil.
func (t *table) inventoryOf(root string) *inventory { return t.byPath[filepath.Clean(root)] }

// adopt returns the inventory for a path that byPath does not have, or nil. The path may be another name
// of a root that is served. Or it is new and a glob matches it: then it is served from now on, if there
// is room. gone permits a directory that has already disappeared. The caller does not hold mu.
func (t *table) adopt(path string, gone bool) (inv *inventory) {
	if !t.listed.Load() {
		return nil
	}
	path = filepath.Clean(path)
	p := roots.Place{Path: path}
	t.guard.Do(path, lookLimit, func() {
		id, _ := roots.Identify(path)
		if has, _ := state.HasFiles(path); has {
			p.Rank = roots.Occupied
		}
		p.ID = id
		known := t.sameDir(id)
		if known != nil && !known.Exists() { // an inode may be used again
			known = nil
		}
		t.mu.Lock()
		defer t.mu.Unlock()
		if known != nil {
			inv = t.byPath[filepath.Clean(known.Path)]
			return
		}
		if t.hasRoom(p) && (id.IsDir() || gone) && t.ways.Matches(path) {
			inv = t.inventory(path)
			inv.place = p
			t.inventories = append(t.inventories, inv)
			t.publish()
		}
	})
	return inv
}

// sameDir returns the place of an inventory with the ID, or nil.
func (t *table) sameDir(id roots.DirID) *roots.Place {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, inv := range t.inventories {
		if inv.place.ID == id {
			place := inv.place
			return &place
		}
	}
	return nil
}

// hasRoom reports whether another place can be served.
func (t *table) hasRoom(p roots.Place) bool {
	room := roots.MaxRoots
	if p.Rank == roots.Empty {
		room = roots.MaxEmpty
	}
	for _, inv := range t.inventories {
		if isEmpty := inv.place.Rank == roots.Empty && len(inv.byID) == 0; isEmpty == (p.Rank == roots.Empty) {
			room--
		}
	}
	return room > 0
}

// merge sorts the lives of all roots that are in snapshots into one list.
func (t *table) merge() {
	t.expire()
	t.sorted = t.sorted[:0]
	mixed := len(t.inventories) > 1
	for _, inv := range slices.Concat(t.inventories, t.lost) {
		mixed = mixed || len(inv.past) > 0
		t.sorted = append(append(t.sorted, inv.past...), inv.sorted...)
	}
	t.sorted = slices.DeleteFunc(t.sorted, func(l *life) bool { return l.now().leaves() })
	if mixed {
		slices.SortStableFunc(t.sorted, func(a, b *life) int { return strings.Compare(a.facts.ID, b.facts.ID) })
	}
	t.lost = slices.DeleteFunc(t.lost, func(inv *inventory) bool {
		inv.forgetPast()
		return len(inv.past) == 0
	})
}

// look finds the life of the sandbox with the ID in a runtime root, one of whose state files may have changed, gives it a registration and a first
// measurement, and calls done with it, holding mu. The error is snapshot.ErrNoRoot, or errHung: then done may
// be called later. The caller does not hold mu.
func (t *table) look(root, id, changed string, gone bool, done func(*inventory, *life, error)) error {
	t.mu.Lock()
	inv := t.inventoryOf(root)
	t.mu.Unlock()
	if inv == nil {
		inv = t.adopt(root, gone)
	}
	if inv == nil {
		return snapshot.ErrNoRoot
	}
	answered := t.guard.Do(inv.path, lookLimit, func() {
		inv.look(id, changed, func(l *life, err error) {
			if l != nil {
				t.schemas.lend(t.sorted, l)
				l.prepareToLend()
				l.measureFirst()
			}
			done(inv, l, err)
		})
	})
	if !answered {
		return errHung
	}
	return nil
}

// canSample reports whether the sandbox of a state file that was created or changed can be sampled and has
// no sample, whether a listing has found it before or not. It does so once for each life.
func (t *table) canSample(l *life) bool {
	if l == nil || l.sampling || l.now() != running || l.sampled() || l.unable() != nil {
		return false
	}
	l.sampling = true
	return true
}

// lastOf returns the life, or the last one of the sandbox without a state file that is in snapshots.
func (inv *inventory) lastOf(l *life, id string) *life {
	for _, past := range slices.Backward(inv.past) {
		if l == nil && past.facts.ID == id && !past.now().leaves() {
			l = past
		}
	}
	return l
}
