package host

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
)

func TestNetwork(t *testing.T) {
	check := func(what string, change func(*tree, *Subject), interfaces int, absent ...fact.Reason) {
		t.Helper()
		tr, s := newTree(t, "v1.txt"), subject("hosta")
		change(tr, &s)
		u := read(tr.open(tr.meter(), s), 0)
		if len(u.Interfaces) != interfaces || !slices.Equal(u.Absent, absent) {
			t.Errorf("%s: %v, absent because of %v, want %d interfaces and %v", what, u.Interfaces, u.Absent, interfaces, absent)
		}
		checkUsage(t, what, u, wholeV1, absent...)
	}
	check("as recorded", func(*tree, *Subject) {}, 1)
	check("this process's namespace", func(tr *tree, _ *Subject) {
		tr.link("proc/9021/ns/net", "net:[4026531833]")
		tr.link("proc/1/ns/net", "net:[1]")
	}, 0, fact.NetworkShared)
	check("process 1's namespace", func(tr *tree, _ *Subject) {
		tr.link("proc/9021/ns/net", "net:[4026531833]")
		tr.link("proc/self/ns/net", "net:[1]")
	}, 0, fact.NetworkShared)
	check("process 1's namespace is not known", func(tr *tree, _ *Subject) { tr.remove("proc/1/ns") }, 1)
	check("the host's by the state file", func(_ *tree, s *Subject) { s.HostNetwork = true }, 0, fact.NetworkShared)
	check("no permission", func(tr *tree, _ *Subject) { tr.remove("proc/9021/ns") }, 0, fact.NetworkUnreadable)
	check("no list", func(tr *tree, _ *Subject) { tr.remove("proc/9021/net") }, 0, fact.NetworkUnreadable)
	check("another form", func(tr *tree, _ *Subject) { tr.replace("proc/9021/net/dev", "4430", "x") }, 0, fact.NetworkUnreadable)
	check("no interface", func(tr *tree, _ *Subject) { tr.write("proc/9021/net/dev", netdevHead) }, 0)
}

// TestInterfaces: the counters of an interface never fall, also if it goes and comes back.
func TestInterfaces(t *testing.T) {
	tr := newTree(t, "v1.txt")
	a := tr.open(tr.meter(), subject("hosta"))
	line := func(name string, received string) string {
		return name + ": " + received + strings.Repeat(" 0", 15) + "\n"
	}
	after := time.Duration(0)
	check := func(what, lines string, want ...int64) {
		t.Helper()
		tr.write("proc/9021/net/dev", netdevHead+lines)
		after += time.Second
		var got []int64
		for _, i := range read(a, after).Interfaces {
			got = append(got, i.Counters[fact.ReceiveBytes])
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	check("first", line("a", "100"), 100)
	check("another", line("a", "110")+line("b", "5"), 110, 5)
	check("another order", line("b", "6")+line("a", "111"), 6, 111)
	check("gone", line("b", "7"), 7)
	check("a new one with its name", line("b", "7")+line("a", "20"), 7, 111)
	check("which grows", line("b", "7")+line("a", "25"), 7, 116)
	for i := range 2 * maxInterfaces {
		tr.write("proc/9021/net/dev", netdevHead+line("c"+strings.Repeat("i", i), "1"))
		read(a, after)
	}
	if n := len(a.interfaces); n > maxInterfaces+1 {
		t.Errorf("%d interfaces are remembered", n)
	}
}
