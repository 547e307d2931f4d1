package snapshot

import (
	"cmp"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/schema"
)

// A Snapshot is everything that one collection found. It is never filtered by metric, and it has
// only the sandboxes to which the collection was limited.
type Snapshot struct {
	Began     time.Time           // when the collection began; no sample is older
	Time      time.Time           // when it was complete: the time of the server's own samples
	Roots     []Root              // in the order in which they were configured
	Selected  Union               // the sandboxes to which the collection was limited
	Sandboxes []Sandbox           // sorted by ID, and sandboxes of the same ID by the order of Roots
	Server    Source              // the server's own families about the server itself and all sandboxes, selected or not
	Totals    Source              // over all sandboxes, live and ended; without a schema if there are none
	Process   []*dto.MetricFamily // about the server process, by a client library; sorted by name; not to be changed
}

// A Root is the result of reading one runtime root.
type Root struct {
	Path       string
	Err        error       // why it could not be read; nil: it could
	Unreadable []FileError // state files that could not be read, sorted by name
}

// A FileError says why a state file could not be read.
type FileError struct {
	Name string // of the file
	Err  error
}

// A Sandbox is one sandbox in a snapshot.
type Sandbox struct {
	*Identity
	Running      bool // its process has not ended
	Checkpointed bool
	Restored     bool
	CPUSaved     time.Duration // CPU time that restoring it saved; 0 if it was not restored
	WallSaved    time.Duration
	Failure      *failure.Failure // why a running sandbox has no metrics; nil: it has metrics, or is not running
	Replied      time.Time        // when the sandbox took its samples, by the host's clock; zero without metrics
	End          *End             // nil: it has not ended
	Hidden       Hiding

	Reported Source // the metrics that the sandbox reported, verified; without a schema if it has none
	Server   Source // the server's own families about the sandbox
	Usage    Source // what the host measured of the sandbox, and what the sandbox says of that; without a schema if nothing was measured
}

// An Identity is the part of a Sandbox that stays the same until its state files change. Snapshots
// share it.
type Identity struct {
	Labels    *Labels
	Root      string // path of the runtime root
	CreatedAt time.Time
	PID       int
	Release   string // of the runsc that started it; empty: not known
	// MetricServer is the --metric-server with which the sandbox was created, with %RUNTIME_ROOT% not
	// replaced; empty: none.
	MetricServer string
	Status       string      // from the state file, which still has "running" after the sandbox has ended
	Containers   []Container // the root container first, the others by ID
	Deleted      []Container // those that were deleted while the sandbox stayed, in the order of that; the last ones only
	PodCgroup    string      // path of the pod's cgroup in the OCI spec of the root container; empty: none
}

// A Container is one of a sandbox's containers. Except for its ID, texts may have any bytes, and are
// empty if there is none.
type Container struct {
	ID        string
	Status    string
	Name      string // in Kubernetes
	Image     string
	CreatedAt time.Time
	Pause     bool // it only holds the namespaces of a pod

	// From the OCI spec; 0: none.
	Cgroup      string // path
	CPUQuota    int64  // in microseconds per CPUPeriod
	CPUPeriod   int64  // in microseconds
	CPUShares   int64
	MemoryLimit int64 // in bytes
}

// Find returns the first sample of a metric, by its index in the schema.
func (s *Source) Find(metric int) (sample Sample, ok bool) {
	i, ok := slices.BinarySearchFunc(s.Samples, int32(metric), func(s Sample, metric int32) int { return cmp.Compare(s.Metric, metric) })
	if !ok {
		return Sample{}, false
	}
	return s.Samples[i], true
}

// HasMetrics reports whether the snapshot has metrics that the sandbox reported.
func (s *Sandbox) HasMetrics() bool { return s.Reported.Schema != nil }

// A Source is a list of samples with the same labels, schema and time.
type Source struct {
	Labels  *Labels
	Schema  *schema.Schema
	Time    int64    // of the samples on a page, in milliseconds since the Unix epoch
	Start   int64    // when its counters and histograms were 0, in nanoseconds since the Unix epoch; 0: not known
	Samples []Sample // in the order of Metric, then Series
	// Histograms are the values of the samples of histogram metrics, in the order of those samples.
	// Sets are the label sets of samples of open metrics, in any order.
	Histograms []Histogram
	Sets       []*LabelSet
	// SetsMemo caches what pages derive from Sets and the sandbox's Identity. Sources share it while
	// neither changes. Only Usage has one.
	SetsMemo *schema.Memo
	TextSize int // the result of MeasureText
	ZeroSize int // the result of MeasureZeros
}

// Histogram returns the value of a sample of a histogram metric.
func (s *Source) Histogram(sample Sample) *Histogram { return &s.Histograms[sample.Value] }

// Metric returns the metric of a sample.
func (s *Source) Metric(sample Sample) *schema.Metric { return &s.Schema.Metrics[sample.Metric] }

// MeasureText returns the approximate number of bytes of the samples as text, on a page without
// filters.
func (s *Source) MeasureText() int {
	size := len(s.Samples) * s.Labels.textSize()
	for i := range s.Samples {
		m := &s.Schema.Metrics[s.Samples[i].Metric]
		size += m.LineSize
		switch {
		case m.Type == schema.Histogram:
			labels := s.Labels.textSize()
			if m.Open {
				labels += s.Sets[s.Samples[i].Series].textSize()
			}
			size += (len(m.Bounds) + 5) * labels
		case m.Open:
			size += s.Sets[s.Samples[i].Series].textSize()
		}
	}
	return size
}

// Measure sets TextSize and ZeroSize. It takes them over from an earlier version of the source if only
// values have changed since, as they do from one collection to the next.
func (s *Source) Measure(before *Source) {
	sameSeries := func(a, b Sample) bool { return a.Metric == b.Metric && a.Series == b.Series }
	if s.Labels == before.Labels && s.Schema == before.Schema && slices.Equal(s.Sets, before.Sets) &&
		slices.EqualFunc(s.Samples, before.Samples, sameSeries) {
		s.TextSize, s.ZeroSize = before.TextSize, before.ZeroSize
		return
	}
	s.TextSize, s.ZeroSize = s.MeasureText(), s.MeasureZeros()
}

// MeasureZeros returns the approximate number of bytes of the samples that Fill adds.
func (s *Source) MeasureZeros() int {
	size := s.Schema.Zeros
	if size.Series == 0 {
		return 0
	}
	for i := range s.Samples {
		if m := s.Metric(s.Samples[i]); m.Zero {
			size.Series--
			size.Bytes -= m.LineSize
		}
	}
	return size.Bytes + size.Series*s.Labels.textSize()
}

// WithZeros returns all samples as a page shows them.
func (s *Source) WithZeros() []Sample {
	all := make([]Sample, 0, len(s.Samples)+s.Schema.Zeros.Series)
	sent := s.Samples
	for i := range s.Schema.Metrics {
		n := 0
		for n < len(sent) && sent[n].Metric == int32(i) {
			n++
		}
		all, sent = s.Fill(all, int32(i), sent[:n]), sent[n:]
	}
	return all
}

// Fill appends the samples of a metric to b: those that the sandbox sent, and a zero for each other
// series if the metric has Zero. sent are the samples of the metric, in order.
func (s *Source) Fill(b []Sample, metric int32, sent []Sample) []Sample {
	m := &s.Schema.Metrics[metric]
	if !m.Zero {
		return append(b, sent...)
	}
	for series := m.First; series < m.First+m.Series; series++ {
		if len(sent) > 0 && sent[0].Series == series {
			b, sent = append(b, sent[0]), sent[1:]
			continue
		}
		b = append(b, Sample{Metric: metric, Series: series})
	}
	return b
}
