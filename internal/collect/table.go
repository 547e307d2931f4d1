package collect

import (
	"bytes"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/state"
)

// table is the state that is kept from collection to collection: the runtime roots and their
// sandboxes. The goroutine of the collection under way owns it; see Collector.
type table struct {
	collector   *Collector
	options     *Options
	roots       roots
	ways        Ways // to roots
	shared      *state.Shared
	probe       *state.Probe
	inventories []*inventory          // one for each served root, in the order of the configuration
	byPath      map[string]*inventory // the same, by clean paths
	leftOut     int                   // roots that are not served because there are too many
	sorted      []*sandbox            // of all roots that are in snapshots, by ID, then by the order of roots, then by age
	lost        []*inventory          // of roots that are not served any more, as long as they have sandboxes in snapshots
	holders     map[int]*sandbox      // the sandboxes of processes, by PID
	ended       []*sandbox            // those that have ended and are in snapshots, in the order in which their lives were closed
	compiled    map[*state.Registration]*compiled
	total       int // sandboxes ever served
	gone        int // sandboxes that have disappeared since the last cleanup of compiled
	recent      []rootAndID

	looksLike     resemblance      // replaced in tests, and so is
	kernelLevels  int              // the constant
	now           func() time.Time // the clock for log budgets, file errors and lingering
	sharedBudgets map[failure.Reason]*logBudget
	refusedLogs   logBudget // for lines about final metrics logs

	foreign               bool // some sandboxes run in another PID namespace, and the log has a line about it
	loggedNotInstrumented bool
}

func newTable(c *Collector) *table {
	return &table{
		collector:     c,
		options:       &c.options,
		looksLike:     resembles,
		kernelLevels:  kernelLevels,
		now:           time.Now,
		sharedBudgets: make(map[failure.Reason]*logBudget),
		roots:         c.options.Roots,
		ways:          NewWays(c.options.Roots),
		shared:        state.NewShared(c.options.GroupAnnotation),
		probe:         state.NewProbe(),
		compiled:      make(map[*state.Registration]*compiled),
		holders:       make(map[int]*sandbox),
	}
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
		if err != nil && (lacksResources(err) || t.roots.single() && !t.options.allowsMissing(err)) {
			return &RootError{err}
		}
		inv.logError()
	}
	t.identifyUnproven()
	t.merge()
	t.lend()
	t.forgetUnused()
	t.collector.listed.Store(true)
	return nil
}

// expand makes an inventory for each directory to serve now, and closes the inventories of others.
func (t *table) expand() {
	places, leftOut := t.roots.expand(t.holds, t.probe)
	before := t.inventories
	t.inventories = make([]*inventory, 0, len(places))
	for _, place := range places {
		inv := t.known(place)
		if inv == nil {
			inv = t.inventory(place.path)
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
	if len(leftOut) > 0 && t.leftOut == 0 {
		t.options.Logger.Warn("Too many runtime roots; some are not served", "limit", MaxRoots, "left_out", len(leftOut), "example", leftOut[0])
	}
	t.leftOut = len(leftOut)
	t.collector.leftOut.Store(int64(t.leftOut))
}

// publish updates byPath and the result of Collector.Roots.
func (t *table) publish() {
	t.byPath = make(map[string]*inventory, len(t.inventories))
	paths := make([]string, 0, len(t.inventories))
	for _, inv := range t.inventories {
		t.byPath[filepath.Clean(inv.path)] = inv
		paths = append(paths, inv.path)
	}
	t.collector.served.Store(&paths)
}

// known returns the inventory of a directory that is already served, or nil. It keeps the name under
// which it was first served, even if the configuration has another name for it first.
func (t *table) known(p place) *inventory {
	for _, path := range append([]string{p.path}, p.aliases...) {
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
		return newInventory(t, path)
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
	if !t.collector.Listed() {
		return nil
	}
	path = filepath.Clean(path)
	id, st := identifyDir(path)
	p := place{path: path, id: id}
	if gone && !id.isDir() || t.probe.HasFiles(path, st) {
		p.rank = occupied
	}
	room := MaxRoots
	if p.rank == empty {
		room = maxEmpty
	}
	for _, inv := range t.inventories {
		if inv.place.id == id && inv.place.exists() { // an inode may be used again
			return inv
		}
		if isEmpty := inv.place.rank == empty && len(inv.byID) == 0; isEmpty == (p.rank == empty) {
			room--
		}
	}
	if room <= 0 || !id.isDir() && !gone || !t.ways.matches(path) {
		return nil
	}
	inv := t.inventory(path)
	inv.place = p
	t.inventories = append(t.inventories, inv)
	t.publish()
	return inv
}

// merge sorts the sandboxes of all roots that are in snapshots into one list.
func (t *table) merge() {
	t.expire(t.now())
	t.sorted = t.sorted[:0]
	mixed := len(t.inventories) > 1
	for _, inv := range slices.Concat(t.inventories, t.lost) {
		mixed = mixed || len(inv.past) > 0
		t.sorted = append(append(t.sorted, inv.past...), inv.sorted...)
	}
	t.sorted = slices.DeleteFunc(t.sorted, func(s *sandbox) bool { return s.dropped })
	if mixed {
		slices.SortStableFunc(t.sorted, func(a, b *sandbox) int { return strings.Compare(a.facts.ID, b.facts.ID) })
	}
	t.lost = slices.DeleteFunc(t.lost, func(inv *inventory) bool {
		inv.past = slices.DeleteFunc(inv.past, func(s *sandbox) bool { return s.dropped })
		if len(inv.past) == 0 {
			inv.root.Close()
		}
		return len(inv.past) == 0
	})
}

// compile returns the compiled registration, or nil for none. Each root has its own pointer for
// equal registrations; all of them get the same Schema.
func (t *table) compile(r *state.Registration) *compiled {
	if r == nil {
		return nil
	}
	c := t.compiled[r]
	if c != nil {
		return c
	}
	for other, known := range t.compiled {
		if bytes.Equal(other.JSON, r.JSON) {
			c = known
		}
	}
	if c == nil {
		c = compile(r, t.collector.options.Zeros)
	}
	t.compiled[r] = c
	return c
}

// forgetUnused drops compiled registrations that no sandbox has any more.
func (t *table) forgetUnused() {
	if t.gone == 0 {
		return
	}
	t.gone = 0
	used := make(map[*state.Registration]bool)
	for _, s := range t.sorted {
		used[s.registration()] = true
	}
	for r := range t.compiled {
		if !used[r] {
			delete(t.compiled, r)
		}
	}
}

// hangupGrace is how long a process that closed its control socket may take to end: the kernel
// closes the file descriptors of a process a moment before it has ended.
const hangupGrace = 20 * time.Millisecond

// clearFailuresOfExited clears the failures of sandboxes that ended while they were queried, since
// a sandbox that has ended has not failed. It waits up to hangupGrace, in total, for sandboxes that
// have just closed their sockets.
func (c *Collector) clearFailuresOfExited() {
	ending, failed := c.hungUp()
	if !failed {
		return
	}
	c.watcher.Sync()
	grace := time.NewTimer(hangupGrace)
	defer grace.Stop()
	for _, process := range ending {
		select {
		case <-process.Done():
		case <-grace.C:
			grace.Reset(0) // so that the next sandbox does not wait
		}
	}
	c.watcher.Sync() // for processes without a pidfd
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.table.sorted {
		if !s.running() {
			s.failure = nil
		}
	}
}

// hungUp returns the processes that may be ending, and whether any sandbox has failed.
func (c *Collector) hungUp() (ending []*host.Process, failed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.table.endUnreachable()
	for _, s := range c.table.sorted {
		failed = failed || s.failure != nil || s.usage.reported.failure != nil
		if s.running() && s.hungUp() {
			ending = append(ending, s.process)
		}
	}
	return ending, failed
}

// hungUp reports whether the process may be ending, since the sandbox hung up for the first time. It
// may have replied to the export query before.
func (s *sandbox) hungUp() bool {
	r := &s.usage.reported
	return s.before == nil && hungUp(s.failure) || r.loggedFailure == "" && hungUp(r.failure)
}

// hungUp reports whether a failure may mean that the process is ending.
func hungUp(f *failure.Failure) bool {
	return f != nil && (f.Reason == failure.Closed || f.Reason == failure.Unreachable)
}
