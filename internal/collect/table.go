package collect

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/sandmeter/sandmeter/internal/failure"
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
	probe       *state.Probe
	inventories []*inventory          // one for each served root, in the order of the configuration
	byPath      map[string]*inventory // the same, by clean paths
	lost        []*inventory          // of roots that are not served any more, as long as they have lives in snapshots
	sorted      []*life               // of all roots that are in snapshots, by ID, then by the order of roots, then by age

	served  atomic.Pointer[[]string] // paths of inventories
	listed  atomic.Bool              // the roots have been listed without an error
	leftOut atomic.Int64             // roots that are not served because there are too many
}

func newTable(e *env, ends *endings) *table {
	o := &e.options
	t := &table{
		registry: &registry{env: e, ends: ends, holders: make(holders), schemas: schemas{zeros: o.Zeros, compiled: make(map[*state.Registration]*compiled)}},
		roots:    o.Roots,
		ways:     roots.NewWays(o.Roots),
		shared:   state.NewShared(o.GroupAnnotation),
		probe:    state.NewProbe(),
	}
	t.expand()
	return t
}

func (t *table) close() {
	for _, inv := range slices.Concat(t.inventories, t.lost) {
		inv.close()
	}
	t.inventories, t.byPath, t.sorted = nil, nil, nil
}

// list updates the table from the runtime roots. The error is a *RootError. It occurs if a single
// root cannot be read, unless it is allowed to be missing, or if the server lacks resources to read
// any root.
func (t *table) list() error {
	t.expand()
	for _, inv := range t.inventories {
		err := inv.list()
		if err != nil && (proof.LacksResources(err) || t.roots.Single() && !t.options.allowsMissing(err)) {
			return &RootError{err}
		}
		inv.logError()
	}
	t.findUnproven()
	t.merge()
	t.schemas.lend(t.sorted, t.sorted...)
	t.forgetUnused(t.sorted)
	t.listed.Store(true)
	return nil
}

// findUnproven tries again to find the processes of lives that have not been proven yet.
func (t *table) findUnproven() {
	for _, inv := range t.inventories {
		for _, l := range inv.sorted {
			if l.now() == unproven {
				l.findProcess()
			}
		}
	}
}

// expand makes an inventory for each directory to serve now, and closes the inventories of others.
func (t *table) expand() {
	places, leftOut := t.roots.Expand(t.holds, t.probe)
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
	if len(leftOut) > 0 && t.leftOut.Load() == 0 {
		t.options.Logger.Warn("Too many runtime roots; some are not served", "limit", roots.MaxRoots, "left_out", len(leftOut), "example", leftOut[0])
	}
	t.leftOut.Store(int64(len(leftOut)))
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

// holds reports whether a directory is served and has sandboxes.
func (t *table) holds(path string) bool {
	inv := t.inventoryOf(path)
	return inv != nil && len(inv.byID) > 0
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
// is room. gone permits a directory that has already disappeared.
func (t *table) adopt(path string, gone bool) *inventory {
	if !t.listed.Load() {
		return nil
	}
	path = filepath.Clean(path)
	id, st := roots.Identify(path)
	p := roots.Place{Path: path, ID: id}
	if gone && !id.IsDir() || t.probe.HasFiles(path, st) {
		p.Rank = roots.Occupied
	}
	room := roots.MaxRoots
	if p.Rank == roots.Empty {
		room = roots.MaxEmpty
	}
	for _, inv := range t.inventories {
		if inv.place.ID == id && inv.place.Exists() { // an inode may be used again
			return inv
		}
		if isEmpty := inv.place.Rank == roots.Empty && len(inv.byID) == 0; isEmpty == (p.Rank == roots.Empty) {
			room--
		}
	}
	if room <= 0 || !id.IsDir() && !gone || !t.ways.Matches(path) {
		return nil
	}
	inv := t.inventory(path)
	inv.place = p
	t.inventories = append(t.inventories, inv)
	t.publish()
	return inv
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
		if len(inv.past) == 0 {
			inv.root.Close()
		}
		return len(inv.past) == 0
	})
}

// look returns the life of the sandbox with the ID, if it can be found in its root, with a registration and a
// first measurement. The error is about its state file.
func (t *table) look(inv *inventory, id string) (*life, error) {
	l, err := inv.look(id)
	if l != nil {
		t.schemas.lend(t.sorted, l)
		l.measureFirst()
	}
	return l, err
}

// arrive returns the sandbox of a state file that was created or changed if it can be sampled and has
// no sample, whether a listing has found it before or not; else nil. It returns a sandbox once.
func (t *table) arrive(root, id string, isNew bool) *life {
	inv := t.inventoryOf(root)
	if inv == nil {
		inv = t.adopt(root, true)
	}
	if inv == nil || !inv.begun {
		return nil
	}
	l, err := t.look(inv, id)
	switch {
	case isNew && errors.Is(err, fs.ErrNotExist) && !t.isRecent(inv.path, id):
		inv.vanish(id)
		return nil
	case l == nil || l.sampling || l.now() != running || l.sampled() || l.unable() != nil:
		return nil
	}
	l.sampling = true
	return l
}

// find returns the sandbox with the ID if it can be sampled.
func (t *table) find(root, id string) (*life, error) {
	l, err := t.lookUp(root, id)
	switch {
	case err != nil:
		return nil, err
	case l.now() == created, !l.now().lives():
		return nil, snapshot.ErrNoSandbox
	case l.now() == unregistered:
		return nil, failure.Newf(failure.Unregistered, "the sandbox has been unregistered")
	}
	if f := l.flaw(); f != nil && f != l.unproven { // it may not listen yet
		return nil, f
	}
	return l, nil
}

// lookUp returns the sandbox with the ID that has a state file, or the last one that had and is still
// in snapshots.
func (t *table) lookUp(root, id string) (*life, error) {
	inv := t.inventoryOf(root)
	if inv == nil {
		inv = t.adopt(root, false)
	}
	if inv == nil {
		return nil, snapshot.ErrNoRoot
	}
	l, _ := t.look(inv, id)
	for _, past := range slices.Backward(inv.past) {
		if l == nil && past.facts.ID == id && !past.now().leaves() {
			l = past
		}
	}
	if l == nil {
		return nil, snapshot.ErrNoSandbox
	}
	return l, nil
}
