package registration

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/state"
)

// These types have the fields of a registration in the order in which runsc writes them to a state
// file, so that the registration of a build is the same bytes from either source.

type registered struct {
	Metrics []json.RawMessage `json:"metrics"`
	Stages  []string          `json:"stages"`
}

type metric struct {
	Name           string   `json:"name,omitempty"`
	PrometheusName string   `json:"prometheus_name,omitempty"`
	Description    string   `json:"description,omitempty"`
	Cumulative     bool     `json:"cumulative,omitempty"`
	Sync           bool     `json:"sync,omitempty"`
	Type           int      `json:"type,omitempty"`
	Units          int      `json:"units,omitempty"`
	Fields         []labels `json:"fields,omitempty"`
	Bounds         []int64  `json:"distribution_bucket_lower_bounds,omitempty"`
}

type labels struct {
	Name   string   `json:"field_name,omitempty"`
	Values []string `json:"allowed_values,omitempty"`
}

var errNoMetrics = errors.New("the registration has no metrics")

// Parse parses the output of `runsc metric-metadata`: a registration in the text format of protocol
// buffers. The result has the form of a registration from a state file. A registration that the
// schema package refuses is an error, and so is one without metrics.
func Parse(text []byte) (*state.Registration, error) {
	s := newScanner(text)
	var r registered
	s.fields(0, message{
		"metrics": many(func() { r.Metrics = append(r.Metrics, s.metric()) }),
		"stages":  many(func() { r.Stages = append(r.Stages, s.str()) }),
	})
	switch {
	case s.err != nil:
		return nil, s.err
	case len(r.Metrics) == 0:
		return nil, errNoMetrics
	}
	slices.SortFunc(r.Metrics, func(a, b json.RawMessage) int { return bytes.Compare(a, b) })
	registration, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if _, err := schema.Compile(registration); err != nil {
		return nil, err
	}
	return &state.Registration{JSON: registration}, nil
}

// metric reads a metric and returns it as JSON.
func (s *scanner) metric() json.RawMessage {
	var m metric
	s.message(message{
		"name":                             one(func() { m.Name = s.str() }),
		"prometheus_name":                  one(func() { m.PrometheusName = s.str() }),
		"description":                      one(func() { m.Description = s.str() }),
		"cumulative":                       one(func() { m.Cumulative = s.boolean() }),
		"sync":                             one(func() { m.Sync = s.boolean() }),
		"type":                             one(func() { m.Type = s.enum("TYPE_UINT64", "TYPE_DISTRIBUTION") }),
		"units":                            one(func() { m.Units = s.enum("UNITS_NONE", "UNITS_NANOSECONDS") }),
		"fields":                           many(func() { m.Fields = append(m.Fields, s.labels()) }),
		"distribution_bucket_lower_bounds": many(func() { m.Bounds = append(m.Bounds, s.integer()) }),
	})
	text, err := json.Marshal(m)
	if err != nil {
		s.fail("%w", err)
	}
	return text
}

func (s *scanner) labels() labels {
	var l labels
	s.message(message{
		"field_name":     one(func() { l.Name = s.str() }),
		"allowed_values": many(func() { l.Values = append(l.Values, s.str()) }),
	})
	return l
}

// Load reads a file with the output of `runsc metric-metadata`.
func Load(path string) (*state.Registration, error) {
	text, err := readFile(path, maxOutput)
	if err != nil {
		return nil, err
	}
	r, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return r, nil
}
