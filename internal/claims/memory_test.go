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

func TestDivisionOf(t *testing.T) {
	check := func(name string, claims []int64, mounted bool, want Division) {
		t.Helper()
		if got := DivisionOf(occupying(claims...), mounted); got != want {
			t.Errorf("%s: got %d, want %d", name, got, want)
		}
	}
	const absent = -1
	check("a container alone", []int64{1000}, false, Separate)
	check("a container alone without memory", []int64{0}, false, Separate)
	check("a pod whose root container has memory", []int64{1000, 2000}, false, Separate)
	check("a pod whose root container has none", []int64{0, 2000, 2000}, false, Equal)
	check("a pod with cgroups in its containers", []int64{0, 2000, 1000}, true, Separate)
	check("one claim is missing", []int64{0, absent, 2000}, false, Incomplete)
	check("the root container's claim is missing", []int64{absent, 2000}, true, Incomplete)
}

func TestDivide(t *testing.T) {
	check := func(name string, host int64, claims, want []int64) {
		t.Helper()
		if got := Divide(host, occupying(claims...)); !slices.Equal(got, want) {
			t.Errorf("%s: got %v, want %v", name, got, want)
		}
	}
	check("no containers", 10, nil, nil)
	check("all that there is", 10, []int64{4, 6}, []int64{4, 6})
	check("less", 10, []int64{4, 0}, []int64{4, 0})
	check("twice as much", 10, []int64{12, 8}, []int64{6, 4})
	check("of nothing", 0, []int64{0, 8}, []int64{0, 0})
	check("more than an integer holds", 1<<40, []int64{1<<63 - 1, 1<<63 - 1, 0}, []int64{1 << 39, 1 << 39, 0})
}
