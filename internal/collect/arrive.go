package collect

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/state"
)

// Arrive takes note that a file in a runtime root was created or changed. If it is the state file of
// a sandbox that is new, the sandbox is watched, measured and sampled at once, beside any collection:
// it may end before the next one. Arrive waits for no sandbox. Its calls are a hint, as nothing but
// the values of short lives depends on them. Before the first collection, or Look, it does nothing.
func (c *Collector) Arrive(root, name string) {
	id := state.RootContainer(name)
	if id == "" {
		return
	}
	c.mu.Lock()
	s := c.table.arrive(root, id)
	waiting := len(c.outside)
	c.announce()
	c.mu.Unlock()
	if s == nil || waiting >= maxOutside {
		return
	}
	c.background.Go(func() { c.sample(s, arrivalTimeout, c.closing) })
}

// announce wakes those that wait for a state file. The caller holds mu.
func (c *Collector) announce() {
	close(c.arrived)
	c.arrived = make(chan struct{})
}

// arrive returns the sandbox of a state file that was created or changed if it is new and can be
// sampled; else nil.
func (t *table) arrive(root, id string) *sandbox {
	i := slices.IndexFunc(t.inventories, func(inv *inventory) bool { return filepath.Clean(inv.path) == root })
	if i < 0 || !t.inventories[i].begun {
		return nil
	}
	s, isNew := t.inventories[i].look(id)
	if !isNew || s.unable() != nil {
		return nil
	}
	return s
}

// look returns the sandbox with the ID, from its state file if it is not known to run; nil: there is
// none, or none that is served.
func (inv *inventory) look(id string) (s *sandbox, isNew bool) {
	known := inv.byID[id]
	if known != nil && known.presence != unborn && known.last.Load() == nil {
		return known, false
	}
	facts, err := inv.root.Refresh(state.FileName(id))
	switch {
	case errors.Is(err, fs.ErrNotExist) && known == nil && !slices.Contains(inv.recent, id):
		inv.vanish(id)
		return nil, false
	case err != nil || facts == nil || !inv.serves(facts):
		return nil, false // it is being written, and another event follows
	case known != nil && known.is(facts):
		if known.facts != facts {
			known.learn(facts)
		}
		return known, known.presence == visible && !known.sampled()
	case known != nil:
		inv.lose(known)
	}
	s = inv.begin(facts, known)
	inv.byID[id] = s
	inv.table.lendTo(s)
	s.measureFirst()
	return s, true
}

// vanish records the life of a sandbox of which nothing is known but that its state file was created.
func (inv *inventory) vanish(id string) {
	if inv.table.options.MatchAddress != "" || inv.table.options.OnlySandbox != "" {
		return // it may be one that is not served
	}
	inv.lose(inv.begin(&state.Sandbox{ID: id, Containers: []*state.Container{{ID: id, SandboxID: id}}}, nil))
}

// measureFirst measures a new sandbox, so that the figures of its cgroup can be read at its end.
func (s *sandbox) measureFirst() {
	if meter := s.inventory.table.collector.meter; meter != nil && s.presence == visible {
		s.usage.account.Store(meter.Open(s.subject()))
		s.readAccount(time.Now())
	}
}
