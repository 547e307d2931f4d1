package collect

import (
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// frozen are the last values of a sandbox that has ended: counters and histograms. Its gauges would
// falsify sums over the sandboxes that run.
type frozen struct {
	reported, usage snapshot.Source // without a schema if there are none
	replied         time.Time
}

// freeze returns the last values of a sandbox that has ended. They are made once, and again when its
// life is closed, because values may have come since.
func (c *Collector) freeze(s *sandbox) *frozen {
	if s.frozen != nil {
		return s.frozen
	}
	last := &frozen{replied: s.baseline.When}
	if s.sampled() {
		last.reported = additive(s.reported())
	}
	final := s.final()
	if c.meter != nil && !s.usage.found.Time.IsZero() {
		if final != nil {
			s.usage.found.Update(&final.usage)
		}
		s.finishShares()
		last.usage = additive(c.usageOf(s))
	}
	if final != nil { // else the cgroup is being read
		s.frozen = last
	}
	return last
}

// additive returns the counters and histograms of a source.
func additive(source snapshot.Source) snapshot.Source {
	source.Samples = slices.DeleteFunc(slices.Clone(source.Samples), func(sample snapshot.Sample) bool {
		return source.Metric(sample).Type == schema.Gauge
	})
	source.TextSize = source.MeasureText()
	return source
}

// lastView returns a sandbox that has ended, or is being unregistered, with its last values, as
// totals and records get it.
func (c *Collector) lastView(s *sandbox) snapshot.Sandbox {
	last := s.frozen
	if s.final() != nil {
		last = c.freeze(s)
	}
	return c.viewOf(s, last)
}

// forget drops the values of a sandbox that is not in snapshots any more.
func (s *sandbox) forget() {
	s.reset()
	s.frozen, s.server, s.described = nil, snapshot.Source{}, nil
	s.usage.close()
	s.usage.found, s.usage.reported, s.usage.sets, s.usage.source = fact.Reading{}, reported{}, usageSets{}, snapshot.Source{}
}
