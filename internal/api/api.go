// Package api builds the documents of the JSON API from a snapshot. It does not depend on HTTP.
// openapi.json describes the documents for clients, and a test checks the documents against it.
//
// Unknown values are null, never 0 or an empty string. Lists have a stable order: sandboxes by ID
// and then by the order of the runtime roots, metrics by name. A sandbox that has ended and a later
// one with the same ID are two sandboxes of a list, with different iterations.
package api

import (
	_ "embed"
	"time"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// OpenAPI describes the API. Do not change it.
//
//go:embed openapi.json
var OpenAPI []byte

// A List is the document of all sandboxes.
type List struct {
	// SnapshotTime is the time at which the collection began. Nothing in the document is older.
	SnapshotTime time.Time `json:"snapshot_time"`
	Sandboxes    []Sandbox `json:"sandboxes"`
}

// A Detail is the document of one sandbox.
type Detail struct {
	SnapshotTime time.Time `json:"snapshot_time"`
	Sandbox
	Metrics []Metric `json:"metrics"` // null if the sandbox has no metrics
}

// A Sandbox holds the known data of a sandbox.
type Sandbox struct {
	ID           string      `json:"id"`
	Iteration    string      `json:"iteration"`
	RuntimeRoot  string      `json:"runtime_root"` // path
	Pod          *string     `json:"pod"`
	Namespace    *string     `json:"namespace"`
	CreatedAt    time.Time   `json:"created_at"`
	PID          *int        `json:"pid"` // on the host; null after the sandbox has ended
	State        string      `json:"state"`
	Phase        string      `json:"phase"`
	Checkpointed bool        `json:"checkpointed"`
	Restored     bool        `json:"restored"`
	Containers   []Container `json:"containers"` // root container first
	// QueryStatus is the result of the query for metrics: ok, failed, or not_running.
	QueryStatus string     `json:"query_status"`
	Reason      *string    `json:"reason"`       // failure reason, as in the label reason
	Detail      *string    `json:"detail"`       // the error behind Reason
	UsageAbsent []string   `json:"usage_absent"` // reasons, as in the label reason of the family
	SampledAt   *time.Time `json:"sampled_at"`   // time at which the sandbox took its samples
	// Hidden tells why the sandbox has no series on pages: unregistered, or series_limit. Null: it
	// has.
	Hidden *string `json:"hidden"`
	End
}

// A Container is a container of a sandbox.
type Container struct {
	ID    string `json:"id"`
	State string `json:"state"`
}

// An End tells how a sandbox ended. Its fields are fields of the sandbox, and null until the end.
type End struct {
	Outcome         *string    `json:"outcome"`   // as in the label outcome
	ExitCode        *int       `json:"exit_code"` // of a sandbox that exited or failed
	Signal          *int       `json:"signal"`    // that ended the sandbox
	OOMScope        *string    `json:"oom_scope"` // whose limit of memory ended it
	EndedAt         *time.Time `json:"ended_at"`  // when the server observed the end
	LifetimeSeconds *float64   `json:"lifetime_seconds"`
	// The sources tell where the last values are from. They are complete if no growth is missing
	// after them.
	MetricsSource   *string `json:"metrics_source"`
	MetricsComplete *bool   `json:"metrics_complete"`
	UsageSource     *string `json:"usage_source"`
	UsageComplete   *bool   `json:"usage_complete"`
}

// Values of Sandbox.QueryStatus.
const (
	queryOK         = "ok"
	queryFailed     = "failed"
	queryNotRunning = "not_running"
)

// stateStopped is the state of a sandbox whose process has ended. The state file still has
// the earlier state.
const stateStopped = "stopped"

// ListOf returns the document of all sandboxes of a snapshot.
func ListOf(snap *snapshot.Snapshot) List {
	list := List{SnapshotTime: snap.Began, Sandboxes: make([]Sandbox, 0, len(snap.Sandboxes))}
	for i := range snap.Sandboxes {
		list.Sandboxes = append(list.Sandboxes, describe(&snap.Sandboxes[i]))
	}
	return list
}

// DetailOf returns the document of one sandbox of a snapshot. The names of its metrics begin with
// prefix.
func DetailOf(snap *snapshot.Snapshot, s *snapshot.Sandbox, prefix string) Detail {
	return Detail{SnapshotTime: snap.Began, Sandbox: describe(s), Metrics: metricsOf(&s.Reported, prefix)}
}

// describe returns the known data of a sandbox.
func describe(s *snapshot.Sandbox) Sandbox {
	d := Sandbox{
		ID:           s.Labels.Sandbox,
		Iteration:    s.Labels.Iteration,
		RuntimeRoot:  s.Root,
		Pod:          Known(s.Labels.Pod),
		Namespace:    Known(s.Labels.Namespace),
		CreatedAt:    s.CreatedAt,
		State:        s.Status,
		Phase:        string(s.Phase),
		UsageAbsent:  []string{},
		Checkpointed: s.Checkpointed,
		Restored:     s.Restored,
		Containers:   make([]Container, 0, len(s.Containers)),
		SampledAt:    Known(s.Replied),
		Hidden:       Known(string(s.Hidden)),
		End:          endOf(s.End),
	}
	for _, c := range s.Containers {
		d.Containers = append(d.Containers, Container{ID: c.ID, State: c.Status})
	}
	if s.Usage != nil {
		for _, reason := range s.Usage.Unknown {
			d.UsageAbsent = append(d.UsageAbsent, string(reason))
		}
	}
	switch {
	case !s.Running():
		d.QueryStatus, d.State = queryNotRunning, stateStopped
		return d
	case s.Failure != nil:
		d.QueryStatus, d.Reason, d.Detail = queryFailed, Known(string(s.Failure.Reason)), Known(s.Failure.Error())
	default:
		d.QueryStatus = queryOK
	}
	d.PID = Known(s.PID)
	return d
}

// endOf returns what is known of an end, which may be nil.
func endOf(e *snapshot.End) End {
	if e == nil {
		return End{}
	}
	metricsComplete, usageComplete := e.Metrics.Complete(), e.Usage.Complete()
	end := End{
		Outcome:         Known(string(e.Outcome)),
		Signal:          Known(e.Signal),
		OOMScope:        Known(string(e.OOMScope)),
		EndedAt:         Known(e.Time),
		LifetimeSeconds: Known(e.Lifetime.Seconds()),
		MetricsSource:   Known(string(e.Metrics)),
		MetricsComplete: &metricsComplete,
		UsageSource:     Known(string(e.Usage)),
		UsageComplete:   &usageComplete,
	}
	if e.Outcome == snapshot.Exited || e.Outcome == snapshot.Failed {
		end.ExitCode = &e.Code
	}
	return end
}

// Known returns a pointer to value, or nil if value is the zero value, which means unknown.
func Known[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

// A Metric is one series of a sandbox, with the name and the unit with which runsc registers it.
// Sandboxes do not send counters that are zero. Those that pages show are here too; the others are
// missing.
type Metric struct {
	Name      string            `json:"name"` // with the exporter's prefix
	Type      string            `json:"type"`
	Unit      *string           `json:"unit"`   // nanoseconds, or null
	Labels    map[string]string `json:"labels"` // without the labels of the sandbox
	Value     *int64            `json:"value"`  // null for a histogram
	Histogram *Histogram        `json:"histogram"`
}

// A Histogram is the value of a histogram metric.
type Histogram struct {
	Count   uint64   `json:"count"`
	Sum     float64  `json:"sum"`
	Buckets []Bucket `json:"buckets"`
}

// A Bucket counts the samples up to a bound, including those of all earlier buckets.
type Bucket struct {
	UpperBound *int64 `json:"upper_bound"` // null: no upper bound
	Count      uint64 `json:"count"`
}

// metricsOf returns the series of a source, or nil if it has none.
func metricsOf(source *snapshot.Source, prefix string) []Metric {
	if source.Schema == nil {
		return nil
	}
	samples := source.WithZeros()
	metrics := make([]Metric, 0, len(samples))
	for i := range samples {
		sample := &samples[i]
		m := source.Metric(*sample)
		metric := Metric{Name: prefix + m.Name, Type: m.Type.String(), Unit: Known(m.Unit.String()), Labels: make(map[string]string, len(m.Fields))}
		for i, value := range m.Labels(sample.Series) {
			metric.Labels[m.Fields[i].Name] = value
		}
		if m.Type == schema.Histogram {
			metric.Histogram = histogramOf(m, source.Histogram(*sample))
		} else {
			metric.Value = &sample.Value
		}
		metrics = append(metrics, metric)
	}
	return metrics
}

func histogramOf(m *schema.Metric, h *snapshot.Histogram) *Histogram {
	result := &Histogram{Sum: h.Total.AsFloat(), Buckets: make([]Bucket, 0, len(h.Counts))}
	for i, n := range h.Counts {
		result.Count += n
		bucket := Bucket{Count: result.Count}
		if i < len(m.Bounds) {
			bucket.UpperBound = &m.Bounds[i]
		}
		result.Buckets = append(result.Buckets, bucket)
	}
	return result
}
