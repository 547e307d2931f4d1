package simulate

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"sync"
)

// A Registration is the list of metrics that a sandbox registers before any process runs in it.
type Registration struct {
	Metrics []Metric `json:"metrics"`
	Stages  []string `json:"stages"`
}

// A Metric is one entry of a Registration. It is not checked, since tests need invalid
// registrations too.
type Metric struct {
	Name           string     `json:"name,omitempty"`            // "/fs/opens"
	PrometheusName string     `json:"prometheus_name,omitempty"` // "fs_opens"
	Description    string     `json:"description,omitempty"`
	Cumulative     bool       `json:"cumulative,omitempty"` // a counter; else a gauge
	Sync           bool       `json:"sync,omitempty"`
	Type           MetricType `json:"type,omitempty"`
	Units          int        `json:"units,omitempty"` // 1: nanoseconds
	Fields         []Field    `json:"fields,omitempty"`
	Buckets        []int64    `json:"distribution_bucket_lower_bounds,omitempty"` // of a Distribution
}

// A MetricType is the type of the values of a metric.
type MetricType int

// The types of runsc.
const (
	Uint64 MetricType = iota
	Distribution
)

// A Field is a label of a metric with all its allowed values.
type Field struct {
	Name    string   `json:"field_name,omitempty"`
	Allowed []string `json:"allowed_values,omitempty"`
}

//go:embed registration.json
var realRegistration []byte

// RealRegistration returns the registration of a real sandbox: 178 metrics, in the order of that
// sandbox. The caller may change the result.
func RealRegistration() *Registration {
	r := new(Registration)
	if err := json.Unmarshal(realRegistration, r); err != nil {
		panic("simulate: embedded registration: " + err.Error())
	}
	return r
}

// OtherRegistration returns a registration as of another runsc release: some counters of the real
// registration have new names, and some metrics have other help texts. No type differs. The caller
// may change the result.
func OtherRegistration() *Registration {
	r := RealRegistration()
	for i := range r.Metrics {
		switch m := &r.Metrics[i]; {
		case i%10 == 0 && !idle(m.PrometheusName):
			m.Name, m.PrometheusName = m.Name+"_v2", m.PrometheusName+"_v2"
		case i%10 == 5:
			m.Description += " (reworded)"
		}
	}
	return r
}

// WithDistribution returns the real registration with an additional distribution, which no real
// sandbox has yet, and the values of an idle sandbox and of that distribution.
func WithDistribution() (*Registration, []Point) {
	r := RealRegistration()
	r.Metrics = append(r.Metrics, Metric{
		Name: "/fs/latency", PrometheusName: "fs_latency", Description: "Time that file operations take, in nanoseconds.",
		Cumulative: true, Type: Distribution, Units: 1, Buckets: []int64{1, 10, 100},
	})
	return r, append(Idle(), Point{
		Metric: "fs_latency",
		Hist:   &Histogram{Total: 111, Min: 1, Max: 100, SSD: 2.5, Counts: []uint64{1, 2, 3, 4}},
	})
}

// JSON returns the registration in the format of state files.
func (r *Registration) JSON() []byte {
	return mustJSON(r)
}

// A schema is a Registration prepared for replies. It is immutable. All sandboxes of a fleet with the
// same registration share it.
type schema struct {
	metrics []*metric
	byName  map[string]*metric
	stages  []byte
}

type metric struct {
	Metric
	json  []byte // as registered
	kind  int    // as in a data point: 1 gauge, 2 counter, 3 histogram
	plain series // the series without labels; sandboxes copy it and share its text
}

var realSchema = sync.OnceValue(func() *schema { return compile(RealRegistration()) })

func compile(r *Registration) *schema {
	s := &schema{byName: map[string]*metric{}, stages: mustJSON(r.Stages)}
	for _, m := range r.Metrics {
		c := &metric{Metric: m, json: mustJSON(m), kind: 1}
		switch {
		case m.Type == Distribution:
			c.kind = 3
		case m.Cumulative:
			c.kind = 2
		}
		c.plain = buildSeries(c, "", nil)
		s.metrics = append(s.metrics, c)
		s.byName[m.PrometheusName] = c
	}
	return s
}

// registration returns the registration as JSON with its metrics shuffled by the seed; 0 keeps the
// order.
func (s *schema) registration(seed uint64) []byte {
	var metrics [][]byte
	for _, m := range s.metrics {
		metrics = append(metrics, m.json)
	}
	if seed != 0 {
		shuffle(rand.New(rand.NewPCG(seed, seed)), metrics)
	}
	return slices.Concat([]byte(`{"metrics":[`), bytes.Join(metrics, []byte(",")), []byte(`],"stages":`), s.stages, []byte("}"))
}

// match returns the filter of an Export, nil for all metrics. The error has runsc's text.
func match(filter string) (*regexp.Regexp, error) {
	if filter == "" {
		return nil, nil
	}
	re, err := regexp.Compile(filter)
	if err != nil {
		return nil, fmt.Errorf("cannot compile regexp %s: %v", strconv.Quote(filter), err)
	}
	return re, nil
}

// mustJSON encodes a value that always has an encoding.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic("simulate: " + err.Error())
	}
	return b
}
