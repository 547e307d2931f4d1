package claims

import (
	"slices"
	"testing"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// occupying returns containers that are claimed to have memory in bytes; below 0, they have no claim.
func occupying(claims ...int64) (containers []Container) {
	for _, bytes := range claims {
		containers = append(containers, Container{Memory: fact.Of(max(0, bytes), bytes >= 0)})
	}
	return containers
}

func TestDivide(t *testing.T) {
	const absent = -1
	check := func(name string, host int64, claims []int64, mounted bool, want []int64, wantEqual bool) {
		t.Helper()
		var got []int64
		memory, equal := Divide(fact.Of(host, host != absent), occupying(claims...), mounted)
		for _, bytes := range memory {
			got = append(got, bytes.Value)
		}
		if !slices.Equal(got, want) || equal != wantEqual {
			t.Errorf("%s: got %v, equal %t, want %v, equal %t", name, got, equal, want, wantEqual)
		}
	}
	check("no containers", 10, nil, false, nil, false)
	check("all that there is", 10, []int64{4, 6}, false, []int64{4, 6}, false)
	check("less", 10, []int64{4, 0}, false, []int64{4, 0}, false)
	check("twice as much", 10, []int64{12, 8}, false, []int64{6, 4}, false)
	check("of nothing", 0, []int64{1, 8}, false, []int64{0, 0}, false)
	check("more than an integer holds", 1<<40, []int64{1<<63 - 1, 1<<63 - 1, 0}, false, []int64{1 << 39, 1 << 39, 0}, false)
	check("a container alone without memory", 10, []int64{0}, false, []int64{0}, false)
	check("a pod whose root container has none", 10, []int64{0, 2, 2}, false, []int64{0, 2, 2}, true)
	check("a pod with cgroups in its containers", 10, []int64{0, 2, 1}, true, []int64{0, 2, 1}, false)
	check("one claim is missing", 10, []int64{0, absent, 2}, false, nil, false)
	check("the host's figure is missing", absent, []int64{0, 2}, false, nil, false)
}
