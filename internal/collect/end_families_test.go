package collect

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

func TestOutcomeLabels(t *testing.T) {
	sets := make(outcomeSets)
	check := func(e snapshot.End, want string) {
		t.Helper()
		if got := fmt.Sprint(sets.of(&e).Pairs); got != want {
			t.Errorf("%+v has labels %s, want %s", e, got, want)
		}
	}
	check(snapshot.End{Outcome: snapshot.Exited}, "[{outcome exited}]")
	check(snapshot.End{Outcome: snapshot.Failed, Code: 3}, "[{exit_code 3} {outcome failed}]")
	check(snapshot.End{Outcome: snapshot.Failed, Code: 137}, "[{exit_code 137} {outcome failed}]") // never a signal
	check(snapshot.End{Outcome: snapshot.Killed, Signal: 9}, "[{outcome killed} {signal 9}]")
	check(snapshot.End{Outcome: snapshot.OOMKilled, Signal: 9}, "[{outcome oom_killed} {signal 9}]")
	check(snapshot.End{Outcome: snapshot.OOMKilled}, "[{outcome oom_killed}]")
	check(snapshot.End{Outcome: snapshot.Exited, Code: 1, Signal: 1}, "[{outcome exited}]") // only with their outcomes
	check(snapshot.End{Outcome: snapshot.Vanished}, "[{outcome vanished}]")
	a, b := &snapshot.End{Outcome: snapshot.Failed, Code: 3, Lifetime: 1}, &snapshot.End{Outcome: snapshot.Failed, Code: 3, Lifetime: 2}
	if sets.of(a) != sets.of(b) {
		t.Error("two equal outcomes have two label sets")
	}
}

func TestAppendEnd(t *testing.T) {
	e := &snapshot.End{Time: time.Unix(1_700_000_000, 500_000_000), Lifetime: 1500 * time.Millisecond, Outcome: snapshot.Exited}
	before := []snapshot.Sample{{Metric: schema.SpecMetadata, Value: 1}}
	got := appendEnd(slices.Clone(before), e, 7)
	want := append(before,
		snapshot.Sample{Metric: schema.SandboxEnd, Value: snapshot.FloatValue(1_700_000_000.5)},
		snapshot.Sample{Metric: schema.SandboxLifetime, Value: snapshot.FloatValue(1.5)},
		snapshot.Sample{Metric: schema.SandboxOutcome, Series: 7, Value: 1})
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if !slices.IsSortedFunc(got, func(a, b snapshot.Sample) int { return int(a.Metric - b.Metric) }) {
		t.Errorf("%v is not in the order of the families", got)
	}
	e.Lifetime = 0 // not known
	if got := appendEnd(nil, e, 0); len(got) != 2 {
		t.Errorf("without a lifetime there is %v", got)
	}
}
