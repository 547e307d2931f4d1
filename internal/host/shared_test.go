package host

import (
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// TestStillShared: a cgroup is the sandbox's own once the processes of others have left it.
func TestStillShared(t *testing.T) {
	const procs = "sys/fs/cgroup/system.slice/docker-" + dockerID + ".scope/cgroup.procs"
	check := func(what, lines string, change func(*tree), still bool, want ...fact.Reason) *Account {
		t.Helper()
		tr := newTree(t, "v2.txt")
		tr.mkdir("proc/9021/fd")
		tr.write("proc/50/stat", "50 (runsc) S 1"+strings.Repeat(" 1", 20)+"\n")
		tr.write(procs, lines)
		a := tr.open(tr.meter(), subject(dockerID))
		read(a, 0)
		change(tr)
		if got := a.StillShared(); got != still {
			t.Errorf("%s: still shared is %t, want %t", what, got, still)
		}
		if u := read(a, 0); len(want) == 0 {
			checkUsage(t, what, u, wholeV2)
		} else if u.Has(fact.CPU) || u.Absent[0] != want[0] {
			t.Errorf("%s: %v, absent because of %v, want %v", what, values(u), u.Absent, want)
		}
		return a
	}
	exits := func(tr *tree) { tr.write(procs, "9021\n") }
	check("it exits", "9021\n50\n", exits, false)
	check("it exits, and its list of processes is old", "9021\n50\n", func(tr *tree) { tr.remove("proc/50") }, false)
	check("another one comes", "9021\n50\n", func(tr *tree) { tr.write(procs, "9021\n1\n") }, true, fact.CgroupShared)
	check("the cgroup is gone", "9021\n50\n", func(tr *tree) { tr.remove("sys") }, false, fact.CgroupUnreadable)
	check("it was never shared", "9021\n", func(*tree) {}, false)
	a := check("it stays", "9021\n50\n", func(*tree) {}, true, fact.CgroupShared)
	// Two lists of processes and two files of /proc, with the end of each file.
	if calls := readCalls(t, func() { a.StillShared() }); calls > 4 {
		t.Errorf("%v calls of read for a cgroup that stays shared, more than 4", calls)
	}
}
