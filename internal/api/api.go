// Package api builds the documents of the JSON API from a snapshot. It does not depend on HTTP.
// openapi.json describes the documents for clients, and a test checks the documents against it.
//
// Unknown values are null, never 0 or an empty string. Lists have a stable order: sandboxes by ID
// and then by the order of the runtime roots, metrics by name.
package api

import (
	_ "embed"
	"fmt"
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
	Checkpointed bool        `json:"checkpointed"`
	Restored     bool        `json:"restored"`
	Containers   []Container `json:"containers"` // root container first
	// QueryStatus is the result of the query for metrics: ok, failed, or not_running.
	QueryStatus string     `json:"query_status"`
	Reason      *string    `json:"reason"`     // failure reason, as in the label reason
	SampledAt   *time.Time `json:"sampled_at"` // time at which the sandbox took its samples
}

// A Container is a container of a sandbox.
type Container struct {
	ID    string `json:"id"`
	State string `json:"state"`
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

// Find returns the sandboxes with the ID, at most one per runtime root. If root is not empty, Find
// only searches that root.
func Find(snap *snapshot.Snapshot, id, root string) []*snapshot.Sandbox {
	var found []*snapshot.Sandbox
	for i := range snap.Sandboxes {
		if s := &snap.Sandboxes[i]; s.Labels.Sandbox == id && (root == "" || s.Root == root) {
			found = append(found, s)
		}
	}
	return found
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
		Pod:          known(s.Labels.Pod),
		Namespace:    known(s.Labels.Namespace),
		CreatedAt:    s.CreatedAt,
		State:        s.Status,
		Checkpointed: s.Checkpointed,
		Restored:     s.Restored,
		Containers:   make([]Container, 0, len(s.Containers)),
	}
	for _, c := range s.Containers {
		d.Containers = append(d.Containers, Container{ID: c.ID, State: c.Status})
	}
	switch {
	case !s.Running:
		d.QueryStatus, d.State = queryNotRunning, stateStopped
		return d
	case s.Failure != nil:
		d.QueryStatus, d.Reason = queryFailed, known(string(s.Failure.Reason))
	default:
		d.QueryStatus, d.SampledAt = queryOK, known(s.Replied)
	}
	d.PID = known(s.PID)
	return d
}

// known returns a pointer to value, or nil if value is the zero value, which means unknown.
func known[T comparable](value T) *T {
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
		metric := Metric{Name: prefix + m.Name, Type: m.Type.String(), Unit: known(m.Unit.String()), Labels: make(map[string]string, len(m.Fields))}
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

// An Error is the document of a request that failed.
type Error struct {
	Error      string    `json:"error"`
	Candidates []Sandbox `json:"candidates"` // sandboxes that match the request
}

// NotFound returns the error for an unknown ID.
func NotFound(id string) Error {
	return Error{fmt.Sprintf("there is no sandbox %q", id), []Sandbox{}}
}

// Ambiguous returns the error for an ID that exists in several runtime roots.
func Ambiguous(id string, found []*snapshot.Sandbox) Error {
	e := Error{Error: fmt.Sprintf("%d runtime roots have a sandbox %q: choose one with ?runtime_root=", len(found), id)}
	for _, s := range found {
		e.Candidates = append(e.Candidates, describe(s))
	}
	return e
}
