package snapshot

import (
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/schema"
)

// A Snapshot is everything that one collection found. It is never filtered by metric.
type Snapshot struct {
	Began     time.Time // nothing in it is older
	Time      time.Time // when it was complete: the time of the server's own samples
	Roots     []Root    // in the order in which they were configured
	Sandboxes []Sandbox // by ID, and those of one ID in the order of Roots
	Server    Source    // what the server says of itself
}

// A Root is what became of one runtime root.
type Root struct {
	Path       string
	Err        error // why it could not be read; nil: it could
	Unreadable int   // state files that could not be read
}

// A Sandbox is one sandbox in a snapshot.
type Sandbox struct {
	*Identity
	Running      bool // its process lives
	Checkpointed bool
	Restored     bool
	CPUSaved     time.Duration // by being restored, 0 for a sandbox that was not
	WallSaved    time.Duration
	Failure      *failure.Failure // why a running sandbox has no metrics; nil: it has, or it is not running
	Replied      time.Time        // when the sandbox took its samples, by the host's clock; zero without metrics

	Reported Source // what the sandbox reports of itself, verified; without a schema if it has no metrics
	Server   Source // what the server says of it
}

// An Identity is what stays the same from snapshot to snapshot, as long as the sandbox's state files do not change.
type Identity struct {
	Labels     *Labels
	Root       string // path of the runtime root
	CreatedAt  time.Time
	PID        int
	Status     string      // as the state file says, which goes on saying "running" when the sandbox has ended
	Containers []Container // the root container first, the others by ID
}

// A Container is one of a sandbox's containers.
type Container struct {
	ID     string
	Status string
}

// HasMetrics reports whether the sandbox reported samples that were verified.
func (s *Sandbox) HasMetrics() bool { return s.Reported.Schema != nil }

// A Source is samples that have labels, a schema and a time in common.
type Source struct {
	Labels  *Labels
	Schema  *schema.Schema
	Time    int64    // of the samples on a page, in milliseconds since the Unix epoch
	Start   int64    // when its counters and histograms were 0, in nanoseconds since the Unix epoch; 0: not known
	Samples []Sample // in the order of Metric, then Series
	// Histograms are what samples of histograms stand for, in the order of those samples. Sets are the label sets of samples of open metrics,
	// in any order.
	Histograms []Histogram
	Sets       []*LabelSet
	TextSize   int // about how many bytes the samples take as text on a page without filters: what MeasureText returns
}

// Histogram returns the histogram that a sample of a histogram metric stands for.
func (s *Source) Histogram(sample Sample) *Histogram { return &s.Histograms[sample.Value] }

// Metric returns the metric of a sample.
func (s *Source) Metric(sample Sample) *schema.Metric { return &s.Schema.Metrics[sample.Metric] }

// MeasureText returns about how many bytes the samples take as text on a page without filters.
func (s *Source) MeasureText() int {
	size := len(s.Samples) * s.Labels.textSize()
	for i := range s.Samples {
		m := &s.Schema.Metrics[s.Samples[i].Metric]
		size += m.LineSize
		switch {
		case m.Type == schema.Histogram:
			size += (len(m.Bounds) + 5) * s.Labels.textSize()
		case m.Open:
			size += s.Sets[s.Samples[i].Series].textSize()
		}
	}
	return size
}
