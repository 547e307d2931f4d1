package simulate

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
)

// FleetOptions configure the sandboxes of a fleet. The zero value is like a busy node: one runsc
// release, 60 points per sandbox, and counters that grow with each query.
type FleetOptions struct {
	Prefix string // of the IDs, which are <Prefix>0000, <Prefix>0001, ...; "sim-" if empty
	Points int    // per sandbox, 8 to 170; 60 if 0

	// Second, if set, is registered by every second sandbox, for example OtherRegistration().
	Second *Registration

	// Spec, if set, may change the spec of sandbox i. It must not set Registration. By default, counters grow,
	// and, as with real sandboxes, all list the same metrics in different orders.
	Spec func(i int, spec *Spec)
}

const (
	minPoints  = 8   // of an idle sandbox
	maxPoints  = 170 // of a sandbox that uses nearly all metrics
	idleGauges = 2   // of the points, the number of gauges at zero
)

// A Fleet is many sandboxes under one runtime root. Its methods are safe for concurrent use.
type Fleet struct {
	Sandboxes []*Sandbox // by number; must not be changed
}

// StartFleet starts n sandboxes under the runtime root, which must exist. Each takes one file
// descriptor, one more if it has its own process, and one more for each client. The caller ends the
// fleet with Remove.
func StartFleet(root string, n int, opts FleetOptions) (*Fleet, error) {
	opts.setDefaults()
	if opts.Points < minPoints || opts.Points > maxPoints {
		return nil, fmt.Errorf("simulate: %d points per sandbox: want %d to %d", opts.Points, minPoints, maxPoints)
	}
	schemas := []*schema{realSchema()}
	if opts.Second != nil {
		schemas = append(schemas, compile(opts.Second))
	}
	f := new(Fleet)
	for i := range n {
		schema := schemas[i%len(schemas)]
		s, err := start(root, opts.spec(i, schema), schema)
		if err != nil {
			f.Remove()
			return nil, fmt.Errorf("simulate: sandbox %d of %d: %w", i, n, err)
		}
		f.Sandboxes = append(f.Sandboxes, s)
	}
	return f, nil
}

func (o *FleetOptions) setDefaults() {
	o.Points = cmp.Or(o.Points, 60)
	o.Prefix = cmp.Or(o.Prefix, "sim-")
}

// spec returns the spec of sandbox i. The same i gives the same values in every fleet.
func (o *FleetOptions) spec(i int, schema *schema) Spec {
	spec := Spec{
		ID:     fmt.Sprintf("%s%04d", o.Prefix, i),
		Points: schema.points(o.Points, uint64(i)),
		Growth: 1 + int64(i%9),
		Order:  1 + uint64(i),
	}
	if o.Spec != nil {
		o.Spec(i, &spec)
	}
	return spec
}

// points returns values for n points, including the gauges: first those of an idle sandbox, then
// plain counters. Numbers have up to 9 digits.
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

// Remove removes all sandboxes, as Sandbox.Remove does.
func (f *Fleet) Remove() error {
	var errs []error
	for _, s := range f.Sandboxes {
		errs = append(errs, s.Remove())
	}
	return errors.Join(errs...)
}
