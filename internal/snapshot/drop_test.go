package snapshot

import (
	"fmt"
	"testing"

	"github.com/sandmeter/sandmeter/internal/schema"
)

func TestWithout(t *testing.T) {
	labels := &Labels{Iteration: "i", Namespace: "n", Pod: "p", RuntimeRoot: "r", Sandbox: "s"}
	plain := &Labels{Iteration: "i", Sandbox: "s"}
	set := NewLabelSet(Label{"a", "1"}, Label{"b", "2"})
	check := func(wantLabels, wantSet string, names ...string) {
		t.Helper()
		d, err := schema.NewDrop(names)
		if err != nil {
			t.Fatal(err)
		}
		first, firstSet := labels.Without(d), set.Without(d)
		if got := fmt.Sprint(first.Values()); got != wantLabels || labels.Without(d) != first {
			t.Errorf("without %q the labels are %s, want %s", names, got, wantLabels)
		}
		if got := fmt.Sprint(firstSet.Pairs); got != wantSet || set.Without(d) != firstSet {
			t.Errorf("without %q the set is %s, want %s", names, got, wantSet)
		}
		if plain.Without(d) != plain {
			t.Errorf("without %q, labels that have none of these have a copy", names)
		}
	}
	check("[i n p r s]", "[{a 1} {b 2}]")
	check("[i n p r s]", "[{a 1} {b 2}]", "c")
	check("[i n  r s]", "[{b 2}]", "pod_name", "a")
	check("[i  p r s]", "[{a 1}]", "namespace_name", "b")
	check("[i   r s]", "[]", "namespace_name", "pod_name", "a", "b")
}
