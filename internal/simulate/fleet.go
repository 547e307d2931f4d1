package simulate

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
)

// FleetOptions says what the sandboxes of a fleet are like. Its zero value is a fleet like that of a busy
// node: one runsc release, 60 points a sandbox, every counter growing from one query to the next.
type FleetOptions struct {
	Prefix string // of the IDs, which are <Prefix>0000, <Prefix>0001, ...; "sim-" if empty
	Points int    // a sandbox, 8 to 170; 60 if 0

	Static      bool // values stay as they are
	ShuffleKeys bool // as in Spec
	SameOrder   bool // all register the same bytes; real sandboxes list the same metrics in orders of their own

	// Second, if set, is registered by every second sandbox: OtherRegistration(), for one.
	Second *Registration

	// Spec, if set, has the last word on the spec of sandbox i. It must not set Registration.
	Spec func(i int, spec *Spec)
}

const (
	minPoints  = 8   // of an idle sandbox
	maxPoints  = 170 // of one nearly all of whose metrics are in use
	idleGauges = 2   // of the points, these are gauges at zero
)

// Fleet is many sandboxes under one runtime root. Its methods may be called from any goroutine.
type Fleet struct {
	Sandboxes []*Sandbox // by number; not to be changed
	poller    *poller
	counters  counters
}

// StartFleet starts n sandboxes under the runtime root, an existing directory. Each takes one descriptor, one
// more if it has a process of its own, and one more for each client. The caller ends the fleet with Stop or Remove.
func StartFleet(root string, n int, opts FleetOptions) (*Fleet, error) {
	opts.Points = cmp.Or(opts.Points, 60)
	opts.Prefix = cmp.Or(opts.Prefix, "sim-")
	if opts.Points < minPoints || opts.Points > maxPoints {
		return nil, fmt.Errorf("simulate: %d points a sandbox: want %d to %d", opts.Points, minPoints, maxPoints)
	}
	schemas := []*schema{realSchema()}
	if opts.Second != nil {
		schemas = append(schemas, compile(opts.Second))
	}
	poller, err := newPoller()
	if err != nil {
		return nil, err
	}
	f := &Fleet{poller: poller}
	for i := range n {
		schema := schemas[i%len(schemas)]
		s, err := start(root, opts.spec(i, schema), schema, f)
		if err != nil {
			f.Remove()
			return nil, fmt.Errorf("simulate: sandbox %d of %d: %w", i, n, err)
		}
		f.Sandboxes = append(f.Sandboxes, s)
	}
	return f, nil
}

// spec returns the spec of sandbox i. The same i gives the same values in every fleet.
func (o *FleetOptions) spec(i int, schema *schema) Spec {
	spec := Spec{
		ID:          fmt.Sprintf("%s%04d", o.Prefix, i),
		Points:      schema.points(o.Points, uint64(i)),
		ShuffleKeys: o.ShuffleKeys,
	}
	if !o.Static {
		spec.Growth = 1 + int64(i%9)
	}
	if !o.SameOrder {
		spec.Order = 1 + uint64(i)
	}
	if o.Spec != nil {
		o.Spec(i, &spec)
	}
	return spec
}

// points returns values that make n points with the gauges: first what an idle sandbox has, then one plain
// counter after the other. Numbers are of every length up to 9 digits.
func (s *schema) points(n int, seed uint64) []Point {
	r := rand.New(rand.NewPCG(seed, 0))
	points := Idle()
	for _, m := range s.metrics {
		if m.kind == 2 && len(m.Fields) == 0 && !idle(m.PrometheusName) {
			points = append(points, Point{Metric: m.PrometheusName, Int: 1 + r.Int64N(1<<r.IntN(30))})
		}
	}
	return points[:min(n-idleGauges, len(points))]
}

// Stats returns the counts of all sandboxes together. Peak is that of the whole fleet at one time.
func (f *Fleet) Stats() Stats { return f.counters.stats() }

// Stop stops all sandboxes, as Sandbox.Stop does.
func (f *Fleet) Stop() {
	f.poller.stop()
	for _, s := range f.Sandboxes {
		s.Stop()
	}
}

// Remove removes all sandboxes, as Sandbox.Remove does.
func (f *Fleet) Remove() error {
	f.poller.stop()
	var errs []error
	for _, s := range f.Sandboxes {
		errs = append(errs, s.Remove())
	}
	return errors.Join(errs...)
}
