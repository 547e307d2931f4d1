package collect

import (
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// measureShare is the part of the time of a collection that may be spent on measuring. Sandboxes
// that are not reached by then are measured first in the next collection.
const measureShare = 4

// measure measures the selected sandboxes that run, before the first query is sent: a sandbox that is queried
// works, and would show the cost of this very scrape.
func (c *Collector) measure(deadline time.Time) {
	if c.meter == nil {
		return
	}
	c.waiting = fact.Of(c.meter.WaitingForCPU())
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.clock.Now()
	end := now.Add(deadline.Sub(now) / measureShare)
	c.order = append(c.order[:0], c.table.sorted...)
	slices.SortStableFunc(c.order, func(a, b *life) int { return trueFirst(a.usage.late, b.usage.late) })
	for _, l := range c.order {
		if l.selected && l.now().runs() {
			c.mu.Unlock() // for the others, since the kernel may let a reader of cgroups wait
			c.mu.Lock()
			l.measure(now, end)
			now = c.clock.Now()
		}
	}
	clear(c.order)
}
