package collect

import (
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// frozen are the last values of a sandbox that has ended: counters and histograms. Its gauges would
// falsify sums over the sandboxes that run.
type frozen struct {
	reported snapshot.Source // without a schema if there are none
	usage    *snapshot.Usage // nil: nothing was measured
	replied  time.Time
}

// freeze returns the last values of a sandbox that has ended. They are made once, and again when its
// life is closed, because values may have come since.
func (c *Collector) freeze(s *sandbox) *frozen {
	if s.frozen != nil {
		return s.frozen
	}
	last := &frozen{replied: s.baseline.When}
	if s.sampled() {
		last.reported = s.reported().WithoutGauges()
	}
	final := s.final()
	if c.meter != nil && !s.usage.found.Time.IsZero() {
		if final != nil {
			s.usage.found.Update(&final.usage)
		}
		s.finishShares()
		last.usage = s.lastUsage()
	}
	if final != nil { // else the cgroup is being read
		s.frozen = last
	}
	return last
}

// lastView returns a sandbox that has ended, or is being unregistered, with its last values, as
// totals and records get it.
func (c *Collector) lastView(s *sandbox) snapshot.Sandbox {
	last := s.frozen
	if s.final() != nil {
		last = c.freeze(s)
	}
	return s.view(last)
}

// forget drops the values of a sandbox that is not in snapshots any more.
func (s *sandbox) forget() {
	s.reset()
	s.frozen, s.derived = nil, nil
	s.usage.close()
	s.usage.found, s.usage.reported, s.usage.last = fact.Reading{}, reported{}, nil
}
