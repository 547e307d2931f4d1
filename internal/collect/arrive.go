package collect

import (
	"errors"
	"io/fs"
	"time"

	"github.com/sandmeter/sandmeter/internal/state"
)

// Arrive takes note that a file in a runtime root was created, or changed. If it is the state file of
// a sandbox that is new, the sandbox is watched, measured and sampled at once, beside any collection:
// it may end before the next one. Arrive waits for no sandbox. Its calls are a hint, as nothing but
// the values of short lives depends on them. Before the first collection, or Look, it does nothing.
func (c *Collector) Arrive(root, name string, created bool) {
	id := state.RootContainer(name)
	if id == "" {
		return
	}
	c.mu.Lock()
	s := c.table.arrive(root, id, created)
	begin := s != nil && c.waiters < maxWaiting
	if s != nil {
		c.announce()
	}
	if begin {
		c.waiters++
	}
	c.mu.Unlock()
	if begin {
		c.background.Go(func() { c.sampleFirst(s) })
	}
}

// sampleFirst takes the first sample of a sandbox.
func (c *Collector) sampleFirst(s *sandbox) {
	c.sample(c.alive, s, c.arrivals, arrivalTimeout)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiters--
}

// announce wakes those that wait for a sandbox. The caller holds mu.
func (c *Collector) announce() {
	close(c.arrived)
	c.arrived = make(chan struct{})
}

// arrive returns the sandbox of a state file that was created or changed if it can be sampled and has
// no sample, whether a listing has found it before or not; else nil. It returns a sandbox once.
func (t *table) arrive(root, id string, created bool) *sandbox {
	inv := t.inventoryOf(root)
	if inv == nil {
		inv = t.adopt(root, true)
	}
	if inv == nil || !inv.begun {
		return nil
	}
	s, err := inv.look(id)
	switch {
	case created && errors.Is(err, fs.ErrNotExist) && !t.isRecent(inv.path, id):
		inv.vanish(id)
		return nil
	case s == nil || s.arrived || s.presence != visible || s.sampled() || s.unable() != nil:
		return nil
	}
	s.arrived = true
	return s
}

// look returns the sandbox with the ID, which begins its life with that if it is new, from its state
// file if it is not known to run, and measures it if that has not been done. nil: there is none, or none
// that is served. The error is about the state file.
func (inv *inventory) look(id string) (*sandbox, error) {
	known := inv.byID[id]
	if known != nil && known.presence != created && known.final() == nil {
		if known.presence == unproven {
			known.identifyProcess()
		}
		known.measureFirst()
		return known, nil
	}
	facts, err := inv.root.Refresh(state.FileName(id))
	switch {
	case err != nil || facts == nil || !inv.serves(facts):
		return known, err
	case known != nil && known.is(facts):
		if known.facts != facts {
			known.learn(facts)
		}
		known.measureFirst()
		return known, nil
	}
	s := inv.begin(facts, known)
	if known != nil {
		inv.lose(known)
	}
	inv.byID[id] = s
	inv.table.lendTo(s)
	s.measureFirst()
	return s, nil
}

// vanish records the life of a sandbox of which nothing is known but that its state file was created,
// a moment ago. With options that select sandboxes by what is in the file, it may be one that is not
// served, so there is no record.
func (inv *inventory) vanish(id string) {
	o := inv.table.options
	if o.MatchAddress != "" || o.OnlySandbox != "" || o.Registrations == nil {
		return
	}
	facts := &state.Sandbox{ID: id, CreatedAt: time.Now(), Containers: []*state.Container{{ID: id, SandboxID: id}}}
	inv.lose(inv.begin(facts, nil))
}

// measureFirst measures a sandbox that has not been measured, so that the figures of its cgroup can
// be read at its end.
func (s *sandbox) measureFirst() {
	meter := s.inventory.table.collector.meter
	if meter == nil || s.presence != visible || !s.running() || s.usage.account.Load() != nil {
		return
	}
	s.usage.account.Store(meter.Open(s.subject()))
	s.readAccount(time.Now())
}

// measureNew measures the sandboxes that a listing has found and that have not been measured. It leaves
// them to a collection as soon as one is due, because a reader waits for that: on a busy node, a
// thousand sandboxes take seconds, and only a collection limits its time. The caller holds turn.
func (c *Collector) measureNew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.table.sorted {
		c.mu.Unlock() // for the others, since the kernel may let a reader of cgroups wait
		c.mu.Lock()
		if c.due.Load() > 0 {
			return
		}
		s.measureFirst()
	}
}
