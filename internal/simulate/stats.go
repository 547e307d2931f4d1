package simulate

import "sync"

// Stats are counts of connections and requests.
type Stats struct {
	Connections int // accepted so far
	Queries     int // requests read so far
	Open        int // connections open now
	Peak        int // connections open at once, at most
}

// Stats returns the counts of the sandbox since its start.
func (s *Sandbox) Stats() Stats { return s.counters.get() }

// counters are the counts of a sandbox or a fleet.
type counters struct {
	fleet *counters // of the sandbox's fleet, which counts the same; nil: none

	mu    sync.Mutex
	stats Stats
}

// add adds requests, and connections that were opened, or closed if negative.
func (c *counters) add(connections, queries int) {
	c.mu.Lock()
	c.stats.Connections += max(connections, 0)
	c.stats.Queries += queries
	c.stats.Open += connections
	c.stats.Peak = max(c.stats.Peak, c.stats.Open)
	c.mu.Unlock()
	if c.fleet != nil {
		c.fleet.add(connections, queries)
	}
}

func (c *counters) get() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}
