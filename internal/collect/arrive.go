package collect

import "github.com/sandmeter/sandmeter/internal/state"

// Arrive takes note that a file in a runtime root was created, or changed. If it is the state file of
// a sandbox that is new, the sandbox is watched, measured and sampled at once, beside any collection:
// it may end before the next one. Arrive waits for no sandbox. Its calls are a hint, as nothing but
// the values of short lives depends on them. Before the first collection, or Look, it does nothing.
func (c *Collector) Arrive(root, name string, isNew bool) {
	id := state.RootContainer(name)
	if id == "" {
		return
	}
	c.mu.Lock()
	l := c.table.arrive(root, id, isNew)
	begin := l != nil && c.waiters < maxWaiting
	if l != nil {
		c.announce()
	}
	if begin {
		c.waiters++
	}
	c.mu.Unlock()
	if begin {
		c.background.Go(func() { c.sampleFirst(l) })
	}
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
		l.measureFirst()
	}
}
