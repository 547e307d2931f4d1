package collect

import (
	"errors"
	"github.com/sandmeter/sandmeter/internal/state"
	"io/fs"
)

// Arrive takes note that a file in a runtime root was created, or changed. If it is the state file of
// a sandbox that is new, the sandbox is watched, measured and sampled at once, beside any collection:
// it may end before the next one. Likewise, a new container of a sandbox is known at once. Arrive waits for no sandbox. Its calls are a hint, as nothing but
// the values of short lives depends on them. Before the first collection, or Look, it does nothing.
func (c *Collector) Arrive(root, name string, isNew bool) {
	container, id := state.ContainerOf(name)
	if id == "" {
		return
	}
	isNew = isNew && container == id
	_ = c.table.look(root, id, name, true, func(inv *inventory, l *life, err error) {
		switch {
		case !inv.begun:
		case isNew && errors.Is(err, fs.ErrNotExist) && !c.table.isRecent(inv.path, id):
			inv.vanish(id)
		case c.table.canSample(l):
			c.announce()
			if c.waiters < maxWaiting && !c.ending {
				c.waiters++
				c.background.Go(func() { c.sampleFirst(l) })
			}
		}
	}) // of a root that does not answer, the next listing tells
}

// sampleFirst takes the first sample of a sandbox.
func (c *Collector) sampleFirst(l *life) {
	c.sample(c.alive, l, c.arrivals, arrivalTimeout)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiters--
}

// announce wakes those that wait for a sandbox. The caller holds mu.
func (c *Collector) announce() {
	close(c.arrived)
	c.arrived = make(chan struct{})
}

// measureNew measures the sandboxes that a listing has found and that have not been measured. It leaves
// them to a collection as soon as one is due, because a reader waits for that: on a busy node, a
// thousand sandboxes take seconds, and only a collection limits its time. The caller holds turn.
func (c *Collector) measureNew() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range c.table.sorted {
		c.mu.Unlock() // for the others, since the kernel may let a reader of cgroups wait
		c.mu.Lock()
		if c.due.Load() > 0 {
			return
		}
		l.prepareToLend()
		l.measureFirst()
	}
}
