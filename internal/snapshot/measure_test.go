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
	families := schema.New([]schema.Metric{
		{Name: "sandmeter_sandbox_lifetime_seconds", Whole: true, Float: true},
		{Name: "sandmeter_sandbox_outcome", Whole: true, Open: true, SetLabels: []string{"outcome"}},
		{Name: "sandmeter_sandbox_up", Whole: true},
	})
	const lifetime, outcome, up = 0, 1, 2
	source := func(labels *Labels, sets []*LabelSet, samples ...Sample) Source {
		return Source{Labels: labels, Schema: families, Sets: sets, Samples: samples}
	}
	before := source(short, []*LabelSet{set}, sample(up, 1), sample(outcome, 1))
	before.Measure(&Source{})
	for name, s := range map[string]Source{
		"the same":          before,
		"other values":      source(short, []*LabelSet{set}, sample(up, 0), sample(outcome, 1<<40)),
		"other labels":      source(long, []*LabelSet{set}, sample(up, 1), sample(outcome, 1)),
		"other label sets":  source(short, []*LabelSet{NewLabelSet(Label{"outcome", "unregistered"})}, sample(up, 1), sample(outcome, 1)),
		"another metric":    source(short, []*LabelSet{set}, sample(lifetime, 1), sample(outcome, 1)),
		"one sample fewer":  source(short, []*LabelSet{set}, sample(up, 1)),
		"nothing at all":    source(short, nil),
		"one sample or two": source(short, []*LabelSet{set}, sample(up, 1), sample(outcome, 1), sample(up, 1)),
	} {
		s.Measure(&before)
		if s.TextSize != s.MeasureText() || s.ZeroSize != s.MeasureZeros() {
			t.Errorf("%s: the sizes are %d and %d, want %d and %d", name, s.TextSize, s.ZeroSize, s.MeasureText(), s.MeasureZeros())
		}
	}
}
