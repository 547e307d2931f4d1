package host

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/leaktest"
)

// newCgroup2 makes a cgroup in this machine's hierarchy of cgroup v2, with a process in it, and a tree
// in which there is nothing else. The kernel removes the files of a cgroup although they are held open,
// which no other file system does.
func newCgroup2(t *testing.T, id string, c *child) (tr *tree, dir string) {
	t.Helper()
	m, err := NewMeter("")
	if err != nil {
		t.Fatal(err)
	}
	mount := ""
	for i := range m.mounts {
		if m.mounts[i].controllers == nil && m.mounts[i].root == "/" {
			mount = m.mounts[i].dir
		}
	}
	dir = filepath.Join(mount, id)
	if err := os.Mkdir(dir, 0o755); err != nil || mount == "" {
		if os.Getenv("SANDMETER_REQUIRE_RUNSC") == "1" { // as in CI, which has cgroup v2
			t.Fatalf("no cgroup v2 to change: %v", err)
		}
		t.Skipf("needs a mount of cgroup v2 that it may change: %v", err)
	}
	t.Cleanup(func() { _ = os.Remove(dir) })
	if err := os.WriteFile(dir+"/cgroup.procs", []byte(fmt.Sprint(c.pid)), 0); err != nil {
		t.Fatal(err)
	}
	tr, pid := &tree{t, t.TempDir()}, strconv.Itoa(c.pid)
	tr.write("proc/self/mountinfo", "35 23 0:29 / "+mount+" rw - cgroup2 cgroup2 rw\n")
	tr.write("proc/"+pid+"/cgroup", "0::/"+id+"\n")
	tr.link("proc/"+pid+"/stat", "/proc/"+pid+"/stat")
	tr.link(mount, mount)
	return tr, dir
}

// TestKeep: when a cgroup is removed before Finish, the figures are those that Keep has read when the
// end was noticed.
func TestKeep(t *testing.T) {
	leaktest.Check(t)
	const id = "sandmeter-test-keep"
	check := func(what string, keeps bool, most int) {
		t.Helper()
		c := startScript(t, "i=0; while [ $i -lt 10000 ]; do i=$((i+1)); done")
		tr, dir := newCgroup2(t, id, c)
		w := newQuietWatcher(t)
		p := w.Watch(c.pid)
		m := tr.meter()
		m.mayHold = func() int { return most }
		a := m.Open(Subject{ID: id, PID: c.pid, Alive: p.Alive, End: p.End})
		defer a.Close()
		before := read(a, 0)
		kept, last := int64(0), new(fact.Reading)
		p.FirstAtEnd(func() {
			if keeps {
				a.Keep()
			}
		})
		p.AtEnd(func() {
			kept = values(finish(a))["cpu"]
			c.reap()
			if err := os.Remove(dir); err != nil {
				t.Error(err)
			}
			last = finish(a)
		})
		c.run()
		w.Sync()
		first, _ := before.Get(fact.CPU)
		got, known := last.Get(fact.CPU)
		if want := keeps && most > 0; !before.Has(fact.CPU) || kept <= first || known != want || known && got != kept {
			t.Errorf("%s: %d ns of CPU time at first, %d before the removal, and %v after it", what, first, kept, values(last))
		}
	}
	check("kept", true, mayHoldCgroups())
	check("not kept", false, mayHoldCgroups())
	check("not held", true, 0)
}

// TestKeepClosed: nothing is read of files that are closed.
func TestKeepClosed(t *testing.T) {
	leaktest.Check(t)
	tr := newTree(t, "v2.txt")
	m := tr.meter()
	m.mayHold = mayHoldCgroups
	a := tr.open(m, subject(dockerID))
	a.Keep()
	read(a, 0)
	files := a.cgroups[0].files
	a.Close()
	a.Keep()
	for i := range files {
		if files[i].kept != nil {
			t.Errorf("%s was read", files[i].path)
		}
	}
}

// TestFirstAtEnd: the functions of all processes that have ended are called before the functions of AtEnd, once.
func TestFirstAtEnd(t *testing.T) {
	leaktest.Check(t)
	w, told := newTellingWatcher(t)
	tell := func(text string) func() { return func() { *told = append(*told, text) } }
	children := startChildren(t, 2)
	for _, c := range children {
		p := w.Watch(c.pid)
		p.FirstAtEnd(tell("first"))
		p.AtEnd(tell("ended"))
		released := w.Watch(c.pid)
		released.FirstAtEnd(tell("released"))
		released.Release()
		blind := withoutPidfd(w.Watch(c.pid))
		blind.FirstAtEnd(tell("no pidfd"))
	}
	w.Sync()
	expect(t, "alive", told)
	for _, c := range children {
		c.kill()
	}
	w.Sync()
	expect(t, "both have ended", told, "first", "first", "ended", "ended", "changed")
	for _, c := range children {
		c.reap()
	}
	w.Sync()
	*told = nil // whether an exit is known only now depends on the kernel
	w.Sync()
	expect(t, "reaped", told)
}
