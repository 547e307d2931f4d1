package collect

import (
	"bytes"
	"slices"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
)

// table is what is remembered from collection to collection: the runtime roots, and the sandboxes of all of them. It belongs to the collection
// under way.
type table struct {
	collector   *Collector
	options     *Options
	roots       roots
	inventories []*inventory // of the roots that are served, in their order
	sorted      []*sandbox   // of all roots, by ID and then by the order of roots
	compiled    map[*state.Registration]*compiled
	total       int // sandboxes ever served
	gone        int // sandboxes that have gone since what was compiled for them was last looked through

	now           func() time.Time // the clock of the log
	sharedBudgets map[failure.Reason]*logBudget

	capabilities map[string]*snapshot.LabelSet // by name
	reasons      map[failure.Reason][]*snapshot.LabelSet

	foreign             bool // some sandboxes run in another PID namespace
	saidNotInstrumented bool // the log has that there are sandboxes without metrics
	saidTooManyRoots    bool
}

func newTable(c *Collector) *table {
	return &table{
		collector:     c,
		options:       &c.options,
		now:           time.Now,
		sharedBudgets: make(map[failure.Reason]*logBudget),
		roots:         c.options.Roots,
		compiled:      make(map[*state.Registration]*compiled),
		capabilities:  make(map[string]*snapshot.LabelSet),
		reasons:       make(map[failure.Reason][]*snapshot.LabelSet),
	}
}

func (t *table) close() {
	for _, inv := range t.inventories {
		inv.close()
	}
	t.inventories, t.sorted = nil, nil
}

// list makes the table hold what the roots hold now. The error is a *RootError: that of a single root that cannot be read and has to be, or of
// any for lack of resources.
func (t *table) list() error {
	t.expand()
	for _, inv := range t.inventories {
		err := inv.list()
		if err != nil && (lacksResources(err) || t.roots.single() && !t.options.excuses(err)) {
			return &RootError{err}
		}
		inv.logError()
	}
	t.merge()
	t.forgetUnused()
	return nil
}

// expand makes an inventory for each root that is served now, and closes those of others.
func (t *table) expand() {
	paths, leftOut := t.roots.expand()
	known := t.inventories
	t.inventories = make([]*inventory, 0, len(paths))
	for _, path := range paths {
		i := slices.IndexFunc(known, func(inv *inventory) bool { return inv.path == path })
		if i < 0 {
			t.inventories = append(t.inventories, newInventory(t, path))
			continue
		}
		t.inventories = append(t.inventories, known[i])
		known = slices.Delete(slices.Clone(known), i, i+1)
	}
	for _, inv := range known {
		inv.close()
	}
	if leftOut > 0 && !t.saidTooManyRoots {
		t.options.Logger.Warn("There are too many runtime roots, and not all are served", "limit", maxRoots, "left_out", leftOut)
	}
	t.saidTooManyRoots = leftOut > 0
	t.collector.served.Store(&paths)
}

// merge brings the sandboxes of all roots into one order.
func (t *table) merge() {
	t.sorted = t.sorted[:0]
	for _, inv := range t.inventories {
		t.sorted = append(t.sorted, inv.sorted...)
	}
	if len(t.inventories) > 1 {
		slices.SortStableFunc(t.sorted, func(a, b *sandbox) int { return strings.Compare(a.facts.ID, b.facts.ID) })
	}
}

// compile returns what is made of a registration, nil for none. The same registration in two roots is two pointers with one Schema.
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
		c = compile(r)
	}
	t.compiled[r] = c
	return c
}

// forgetUnused drops what was compiled for sandboxes that are all gone.
func (t *table) forgetUnused() {
	if t.gone == 0 {
		return
	}
	t.gone = 0
	used := make(map[*state.Registration]bool)
	for _, s := range t.sorted {
		used[s.facts.Registration] = true
	}
	for r := range t.compiled {
		if !used[r] {
			delete(t.compiled, r)
		}
	}
}

// hangupGrace is how long a sandbox that has closed its socket gets to end: a process closes its file descriptors a moment before it has
// ended.
const hangupGrace = 20 * time.Millisecond

// clearFailuresOfExited clears the failures of sandboxes that ended while they were queried: a sandbox that has ended is not broken. It
// waits for those that have just closed their sockets, all of them together at most once the grace.
func (t *table) clearFailuresOfExited() {
	if !slices.ContainsFunc(t.sorted, func(s *sandbox) bool { return s.failure != nil }) {
		return
	}
	t.endUnreachable()
	t.collector.watcher.Sync()
	grace := time.NewTimer(hangupGrace)
	defer grace.Stop()
	for _, s := range t.sorted {
		if !s.running() || s.before != nil || !hungUp(s.failure) {
			continue
		}
		select {
		case <-s.process.Done():
		case <-grace.C:
			grace.Reset(0) // for the next one
		}
	}
	t.collector.watcher.Sync() // for processes without a pidfd
	for _, s := range t.sorted {
		if !s.running() {
			s.failure = nil
		}
	}
}

// hungUp reports whether a failure may mean that the process is ending.
func hungUp(f *failure.Failure) bool {
	return f != nil && (f.Reason == failure.Closed || f.Reason == failure.Unreachable)
}
