package snapshot

import (
	"testing"

	"github.com/sandmeter/sandmeter/internal/schema"
)

// TestMeasure: the size of a source is taken over from an earlier version only if it is the same.
func TestMeasure(t *testing.T) {
	short, long := &Labels{Sandbox: "a"}, &Labels{Sandbox: "a longer ID"}
	set := NewLabelSet(Label{"outcome", "exited"})
	sample := func(metric int32, value int64) Sample { return Sample{Metric: metric, Value: value} }
	source := func(labels *Labels, sets []*LabelSet, samples ...Sample) Source {
		return Source{Labels: labels, Schema: schema.Server, Sets: sets, Samples: samples}
	}
	before := source(short, []*LabelSet{set}, sample(schema.SandboxUp, 1), sample(schema.SandboxOutcome, 1))
	before.Measure(&Source{})
	for name, s := range map[string]Source{
		"the same":          before,
		"other values":      source(short, []*LabelSet{set}, sample(schema.SandboxUp, 0), sample(schema.SandboxOutcome, 1<<40)),
		"other labels":      source(long, []*LabelSet{set}, sample(schema.SandboxUp, 1), sample(schema.SandboxOutcome, 1)),
		"other label sets":  source(short, []*LabelSet{NewLabelSet(Label{"outcome", "unregistered"})}, sample(schema.SandboxUp, 1), sample(schema.SandboxOutcome, 1)),
		"another metric":    source(short, []*LabelSet{set}, sample(schema.SandboxLifetime, 1), sample(schema.SandboxOutcome, 1)),
		"one sample fewer":  source(short, []*LabelSet{set}, sample(schema.SandboxUp, 1)),
		"nothing at all":    source(short, nil),
		"one sample or two": source(short, []*LabelSet{set}, sample(schema.SandboxUp, 1), sample(schema.SandboxOutcome, 1), sample(schema.SandboxUp, 1)),
	} {
		s.Measure(&before)
		if s.TextSize != s.MeasureText() || s.ZeroSize != s.MeasureZeros() {
			t.Errorf("%s: the sizes are %d and %d, want %d and %d", name, s.TextSize, s.ZeroSize, s.MeasureText(), s.MeasureZeros())
		}
	}
}
