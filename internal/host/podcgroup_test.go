package host

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
)

const (
	podUID = "c2a3b4d5-0123-4567-89ab-cdef01234567"
	podDir = "sys/fs/cgroup/kubepods/pod" + podUID
)

// newPod makes a recorded tree in which the sandbox is in the cgroup of its pod. open returns the
// account of a sandbox of the pod.
func newPod(t *testing.T) (tr *tree, open func(sandbox string) *Account) {
	t.Helper()
	tr = newTree(t, "v2.txt")
	tr.mkdir("sys/fs/cgroup/kubepods")
	if err := os.Rename(tr.path("sys/fs/cgroup/system.slice/docker-"+dockerID+".scope"), tr.path(podDir)); err != nil {
		t.Fatal(err)
	}
	tr.write("proc/9021/cgroup", "0::/kubepods/pod"+podUID+"\n")
	m := tr.meter()
	return tr, func(sandbox string) *Account {
		s := subject(sandbox)
		s.PodUID = podUID
		return tr.open(m, s)
	}
}

// checkPod checks the CPU time and the OOM kills that a sandbox has.
func checkPod(t *testing.T, what string, u *fact.Reading, cpu, kills int64) {
	t.Helper()
	got := values(u)
	if got["cpu"] != cpu || got["oom"] != kills {
		t.Errorf("%s: %d ns of CPU and %d OOM kills, want %d and %d", what, got["cpu"], got["oom"], cpu, kills)
	}
}

// TestPodCgroup: the counters of a pod's cgroup go on when the pod gets another sandbox. Those of the
// new sandbox begin where those of the one before ended.
func TestPodCgroup(t *testing.T) {
	tr, open := newPod(t)
	used := func(microseconds, kills int) {
		t.Helper()
		tr.write(podDir+"/cpu.stat", fmt.Sprintf("usage_usec %d\n", microseconds))
		tr.write(podDir+"/memory.events", fmt.Sprintf("oom_kill %d\n", kills))
	}
	first := open("first")
	checkUsage(t, "the first sandbox", read(first, 0), wholeV2)
	used(5_000_000, 2)
	checkPod(t, "later", read(first, time.Second), 5_000_000_000, 2)
	used(5_000_010, 3) // it ended, out of memory

	second := open("second")
	u := read(second, 2*time.Second)
	checkPod(t, "the second sandbox", u, 10_000, 1)
	want := map[string]int64{"memory": wholeV2["memory"], "peak": wholeV2["peak"], "threads": wholeV2["threads"]}
	for name, value := range values(u) {
		if gauge, ok := want[name]; ok && value != gauge {
			t.Errorf("%s is %d, want %d", name, value, gauge)
		}
	}
	first.Close()
	used(5_000_510, 3)
	checkPod(t, "later", read(second, 3*time.Second), 510_000, 1)
	second.Update(second.subject) // its containers have changed
	checkPod(t, "with another container", read(second, 4*time.Second), 510_000, 1)
	second.Close()
	second = open("second")
	checkPod(t, "with another account", read(second, 5*time.Second), 510_000, 1)

	tr.recreate(podDir)
	used(70, 0)
	checkPod(t, "in a new cgroup", read(second, 6*time.Second), 580_000, 1)
	second.Close()
	checkPod(t, "another sandbox in the new cgroup", read(open("third"), 7*time.Second), 0, 0)
}

// TestPodCgroupEnded: what is read when the sandbox has ended is the next one's.
func TestPodCgroupEnded(t *testing.T) {
	tr, open := newPod(t)
	first, alive := open("first"), true
	first.subject.Alive = func() bool { return alive }
	read(first, 0)
	alive = false
	tr.write(podDir+"/memory.events", "oom_kill 3\n")
	if u := read(first, time.Second); len(values(u)) > 0 {
		t.Errorf("a sandbox that ended has %v", values(u))
	}
	checkPod(t, "the second sandbox", read(open("second"), 2*time.Second), 0, 1)
}

// TestPodCgroupsForgotten: cgroups that are gone are forgotten, and cgroups of single sandboxes are not
// kept.
func TestPodCgroupsForgotten(t *testing.T) {
	tr := newTree(t, "v2.txt")
	m := tr.meter()
	directory := func(name string) *cgroup {
		t.Helper()
		tr.mkdir(name)
		c, reason := m.openCgroup(tr.path(name), nil)
		if reason != "" {
			t.Fatal(reason)
		}
		return c
	}
	first, second := &Subject{ID: "first"}, &Subject{ID: "second"}
	if p := m.podCgroup(directory("docker-first.scope"), first); p != nil || len(m.pods) > 0 {
		t.Errorf("the cgroup of a single sandbox is kept: %v", m.pods)
	}
	stays := directory("pods/stays")
	m.podCgroup(stays, first).last[fact.CPU] = 7
	for i := range 10 * leastPodCgroups {
		name := fmt.Sprintf("pods/%d", i)
		m.podCgroup(directory(name), first)
		tr.remove(name)
	}
	if n := len(m.pods); n > 2*leastPodCgroups || m.podCgroup(stays, second).began[fact.CPU] != 7 {
		t.Errorf("%d cgroups are known", n)
	}
}
