package records

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// Version is the version of the schema. It changes when a field is removed or changes its meaning.
const Version = 1

// A Record describes one life of a sandbox that has ended. Its fields are in the order in which
// lines have them.
type Record struct {
	Version     int         `json:"version"`
	ID          string      `json:"id"`
	Iteration   string      `json:"iteration"`
	RuntimeRoot string      `json:"runtime_root"` // path
	Pod         *string     `json:"pod"`
	Namespace   *string     `json:"namespace"`
	Containers  []Container `json:"containers"` // root container first; null: see Truncated

	CreatedAt       *Time    `json:"created_at"`
	EndedAt         *Time    `json:"ended_at"`
	LifetimeSeconds *float64 `json:"lifetime_seconds"`
	Outcome         string   `json:"outcome"`
	ExitCode        *int     `json:"exit_code"` // 0 if the outcome is exited
	Signal          *int     `json:"signal"`
	OOMScope        *string  `json:"oom_scope"`

	CPUSeconds             *float64 `json:"cpu_seconds"`              // of the sandbox's cgroup
	UnattributedCPUSeconds *float64 `json:"unattributed_cpu_seconds"` // part of CPUSeconds that belongs to no container
	SentryCPUSeconds       *float64 `json:"sentry_cpu_seconds"`       // only without a cgroup
	MemoryPeakBytes        *int64   `json:"memory_peak_bytes"`
	OOMKills               *int64   `json:"oom_kills"`
	Network                *Network `json:"network"`
	NetworkSource          string   `json:"network_source"`
	NetworkComplete        bool     `json:"network_complete"`
	UsageSource            string   `json:"usage_source"`
	UsageComplete          bool     `json:"usage_complete"`

	Metrics         map[string]any `json:"metrics"` // see metricsOf
	MetricsSource   string         `json:"metrics_source"`
	MetricsComplete bool           `json:"metrics_complete"`
	Truncated       bool           `json:"truncated"` // metrics, or also containers, are left out
}

// A Container is a container of a sandbox. Those that were deleted before the sandbox ended come
// last.
type Container struct {
	ID         string   `json:"id"`
	Name       *string  `json:"name"`
	Image      *string  `json:"image"`
	CPUSeconds *float64 `json:"cpu_seconds"`
}

// Network is the traffic of all network interfaces of a sandbox.
type Network struct {
	ReceiveBytes  int64 `json:"receive_bytes"`
	TransmitBytes int64 `json:"transmit_bytes"`
}

// Of returns the record of a sandbox that has an End. It shares no memory that changes with the
// snapshot.
func Of(s *snapshot.Sandbox) Record {
	r := Record{
		Version:     Version,
		ID:          text(s.Labels.Sandbox),
		Iteration:   text(s.Labels.Iteration),
		RuntimeRoot: text(s.Root),
		Pod:         known(text(s.Labels.Pod)),
		Namespace:   known(text(s.Labels.Namespace)),
		CreatedAt:   timeOf(s.CreatedAt),
	}
	r.setEnd(s.End)
	r.setUsage(s.Usage)
	r.Containers = containersOf(s)
	if s.Reported.Schema != nil {
		var fits bool
		if r.Metrics, fits = metricsOf(&s.Reported); !fits {
			r.leaveOutMetrics()
		}
	}
	return r
}

// setEnd sets how the sandbox ended, and where its values are from.
func (r *Record) setEnd(end *snapshot.End) {
	r.EndedAt = timeOf(end.Time)
	r.LifetimeSeconds = known(end.Lifetime.Seconds())
	r.Outcome = string(end.Outcome)
	switch end.Outcome {
	case snapshot.Exited:
		r.ExitCode = new(int)
	case snapshot.Failed:
		code := end.Code
		r.ExitCode = &code
	}
	r.Signal = known(end.Signal)
	r.OOMScope = known(string(end.OOMScope))
	r.MemoryPeakBytes = known(end.MemoryPeak)
	r.NetworkSource, r.NetworkComplete = string(cmp.Or(end.Network, snapshot.NoOrigin)), end.Network.Complete()
	r.UsageSource, r.UsageComplete = string(cmp.Or(end.Usage, snapshot.NoOrigin)), end.Usage.Complete()
	r.MetricsSource, r.MetricsComplete = string(cmp.Or(end.Metrics, snapshot.NoOrigin)), end.Metrics.Complete()
}

// setUsage sets the last figures of the host.
func (r *Record) setUsage(u *snapshot.Usage) {
	if u == nil {
		return
	}
	r.CPUSeconds = seconds(fact.Of(u.Get(fact.CPU)))
	r.SentryCPUSeconds = seconds(fact.Of(u.Get(fact.SentryCPU)))
	r.UnattributedCPUSeconds = seconds(u.Unattributed)
	if kills, ok := u.Get(fact.OOMKills); ok {
		r.OOMKills = &kills
	}
	if len(u.Interfaces) > 0 {
		r.Network = new(Network)
	}
	for i := range u.Interfaces {
		r.Network.ReceiveBytes += u.Interfaces[i].Counters[fact.ReceiveBytes]
		r.Network.TransmitBytes += u.Interfaces[i].Counters[fact.TransmitBytes]
	}
}

// seconds returns a time in nanoseconds as seconds; nil: it is not known.
func seconds(f fact.Figure) *float64 {
	if !f.Known {
		return nil
	}
	value := float64(f.Value) / float64(time.Second)
	return &value
}

// containersOf returns the containers of the state files, and then those that have been deleted. Some
// of these may only have CPU time.
func containersOf(s *snapshot.Sandbox) []Container {
	containers := make([]Container, 0, len(s.Containers)+len(s.Deleted))
	place := make(map[string]int, cap(containers))
	for _, c := range slices.Concat(s.Containers, s.Deleted) {
		place[c.ID] = len(containers)
		containers = append(containers, Container{ID: text(c.ID), Name: known(text(c.Name)), Image: known(text(c.Image))})
	}
	if s.Usage == nil {
		return containers
	}
	for _, share := range s.Usage.Shares {
		at, listed := place[share.ID]
		if !listed {
			at, place[share.ID] = len(containers), len(containers)
			deleted := Container{ID: text(share.ID)}
			if share.Name != share.ID {
				deleted.Name = known(text(share.Name))
			}
			containers = append(containers, deleted)
		}
		containers[at].CPUSeconds = seconds(fact.Of(share.CPU, true))
	}
	return containers
}

// leaveOutMetrics makes the record smaller. A sum over complete records must not miss the metrics.
func (r *Record) leaveOutMetrics() {
	r.Metrics, r.MetricsComplete, r.Truncated = nil, false, true
}

// known returns a pointer to value, or nil if value is the zero value, which means unknown.
func known[T comparable](value T) *T {
	var zero T
	if value == zero {
		return nil
	}
	return &value
}

// finite returns a pointer to value, or nil if JSON has no such number.
func finite(value float64) *float64 {
	if math.IsNaN(value) || math.IsInf(value, 0) {
		return nil
	}
	return &value
}

// maxText is the longest text of a record in bytes. It is as long as a path may be.
const maxText = 4 << 10

// text returns valid UTF-8 of at most maxText bytes. A longer text is cut.
func text(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxText {
		return s
	}
	return strings.ToValidUTF8(s[:maxText], "") // without the first bytes of a character that is cut
}

// A Time is encoded in UTC with all nine digits of nanoseconds, so that sorting lines sorts times.
type Time struct{ time.Time }

const timeLayout = `"2006-01-02T15:04:05.000000000Z"`

// MarshalJSON implements json.Marshaler.
func (t Time) MarshalJSON() ([]byte, error) {
	return t.UTC().AppendFormat(make([]byte, 0, len(timeLayout)), timeLayout), nil
}

// timeOf returns a Time, or nil if t is zero or RFC 3339 has no such year.
func timeOf(t time.Time) *Time {
	t = t.UTC()
	if t.IsZero() || t.Year() < 1 || t.Year() > 9999 {
		return nil
	}
	return &Time{t}
}
