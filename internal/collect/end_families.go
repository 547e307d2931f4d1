package collect

import (
	"strconv"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// appendEnd appends the samples of the server's own families about the end of a sandbox. set is the
// index of the label set of the outcome in the source's Sets.
func appendEnd(samples []snapshot.Sample, e *snapshot.End, set int) []snapshot.Sample {
	samples = append(samples, snapshot.Sample{Metric: schema.SandboxEnd, Value: seconds(e.Time)})
	if e.Lifetime > 0 {
		samples = append(samples, snapshot.Sample{Metric: schema.SandboxLifetime, Value: snapshot.FloatValue(e.Lifetime.Seconds())})
	}
	return append(samples, snapshot.Sample{Metric: schema.SandboxOutcome, Series: uint32(set), Value: 1})
}

// outcomeSets caches the label sets of outcomes, which many sandboxes share. An exit status has a
// byte and a signal six bits, so there are a few hundred.
type outcomeSets map[outcomeLabels]*snapshot.LabelSet

// outcomeLabels are the values of the labels of an outcome. Empty ones are not on the page.
type outcomeLabels struct{ outcome, exitCode, signal string }

// labelsOfEnd returns the values for an end: the exit status of a sandbox that failed, and the signal
// that ended one that was killed. Both are numbers, as in the status of a Kubernetes container, from
// which kube-state-metrics has its exit codes: numbers mean the same on all architectures that gVisor
// supports, and rules compare them.
func labelsOfEnd(e *snapshot.End) outcomeLabels {
	labels := outcomeLabels{outcome: string(e.Outcome)}
	switch e.Outcome {
	case snapshot.Failed:
		labels.exitCode = strconv.Itoa(e.Code)
	case snapshot.Killed, snapshot.OOMKilled:
		if e.Signal != 0 {
			labels.signal = strconv.Itoa(e.Signal)
		}
	}
	return labels
}

// of returns the label set of an end.
func (sets outcomeSets) of(e *snapshot.End) *snapshot.LabelSet {
	labels := labelsOfEnd(e)
	if sets[labels] == nil {
		sets[labels] = labels.set()
	}
	return sets[labels]
}

func (l outcomeLabels) set() *snapshot.LabelSet {
	pairs := []snapshot.Label{{Name: "outcome", Value: l.outcome}}
	if l.exitCode != "" {
		pairs = append(pairs, snapshot.Label{Name: "exit_code", Value: l.exitCode})
	}
	if l.signal != "" {
		pairs = append(pairs, snapshot.Label{Name: "signal", Value: l.signal})
	}
	return snapshot.NewLabelSet(pairs...)
}
