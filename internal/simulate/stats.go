package simulate

import "sync/atomic"

// Stats are counts of connections and requests.
type Stats struct {
	Connections int // accepted so far
	Queries     int // requests read so far
	Open        int // connections open now
	Peak        int // connections open at once, at most
}

// Stats returns the counts of the sandbox since its start.
func (s *Sandbox) Stats() Stats { return s.counters.stats() }

// counters is the live form of Stats.
type counters struct {
	connections, queries, open, peak atomic.Int64
}

func (c *counters) enter() {
	c.connections.Add(1)
	open := c.open.Add(1)
	for peak := c.peak.Load(); open > peak && !c.peak.CompareAndSwap(peak, open); {
		peak = c.peak.Load()
	}
}

func (c *counters) leave() {
	c.open.Add(-1)
}

func (c *counters) query() {
	c.queries.Add(1)
}

func (c *counters) stats() Stats {
	return Stats{int(c.connections.Load()), int(c.queries.Load()), int(c.open.Load()), int(c.peak.Load())}
}
