package host

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/leaktest"
)

// finish returns what Finish measures.
func finish(a *Account) *fact.Reading {
	u := new(fact.Reading)
	a.Finish(u, start.Add(time.Hour))
	return u
}

// lasting returns those of the quantities that Finish measures.
func lasting(whole map[string]int64) map[string]int64 {
	left := maps.Clone(whole)
	delete(left, "memory")
	delete(left, "threads")
	return left
}

// endSentry removes everything in /proc from the tree, as when a sentry was reaped, and makes the
// account see that it has ended.
func (tr *tree) endSentry(a *Account) {
	tr.t.Helper()
	tr.remove("proc")
	a.subject.Alive = func() bool { return false }
}

// endingSentry changes the tree as when the sentry is ending: it has no network, and is in the root of
// each hierarchy, but its pidfd does not tell of an end.
func (tr *tree) endingSentry() {
	tr.t.Helper()
	const proc = "proc/9021/"
	tr.replace(proc+"stat", " 4194560 ", " 4227332 ")
	tr.replace(proc+"cgroup", "/hosta", "/")
	tr.remove(proc + "ns/net")
	tr.remove(proc + "net/dev")
}

// TestFinish: what the cgroup has counted since the last Read is counted, without /proc.
func TestFinish(t *testing.T) {
	leaktest.Check(t)
	const v2 = "sys/fs/cgroup/system.slice/docker-" + dockerID + ".scope/"
	check := func(file, id string, whole map[string]int64, change func(*tree), growth map[string]int64, absent ...fact.Reason) {
		t.Helper()
		tr := newTree(t, file)
		a := tr.open(tr.meter(), subject(id))
		read(a, 0)
		tr.endSentry(a)
		checkUsage(t, file+", no growth", finish(a), lasting(whole))
		change(tr)
		want := lasting(whole)
		for name, grown := range growth {
			want[name] += grown
			if grown < 0 {
				delete(want, name)
			}
		}
		u := finish(a)
		checkUsage(t, file, u, want, absent...)
		if len(u.Interfaces) > 0 || !u.Time.Equal(start.Add(time.Hour)) {
			t.Errorf("%s: interfaces %v at %v", file, u.Interfaces, u.Time)
		}
		checkUsage(t, file+" again", finish(a), want, absent...)
		if u := read(a, time.Second); len(values(u)) > 0 || len(u.Absent) > 0 {
			t.Errorf("%s: read after the end: %v, %v", file, values(u), u.Absent)
		}
		checkUsage(t, file+" after Read", finish(a), want, absent...)
	}
	const absent = -1
	check("v1.txt", "hosta", wholeV1, func(tr *tree) {
		tr.replace("sys/fs/cgroup/cpuacct/hosta/cpuacct.usage", "36619817067", "36619817999")
		tr.replace("sys/fs/cgroup/memory/hosta/memory.max_usage_in_bytes", "22220800", "22220999")
		tr.replace("sys/fs/cgroup/memory/hosta/memory.oom_control", "oom_kill 0", "oom_kill 1")
	}, map[string]int64{"cpu": 932, "peak": 199, "oom": 1})
	check("v2.txt", dockerID, wholeV2, func(tr *tree) {
		tr.replace(v2+"cpu.stat", "usage_usec 4132116", "usage_usec 4132117")
		tr.replace(v2+"cpu.stat", "throttled_usec 250000", "throttled_usec 250002")
		tr.replace(v2+"io.pressure", "total=1200", "total=1203")
	}, map[string]int64{"cpu": 1000, "throttled": 2000, "io some": 3000})
	check("hybrid.txt", "hosta", wholeHybrid, func(*tree) {}, nil)

	check("v2.txt", dockerID, wholeV2, func(tr *tree) { tr.remove(v2 + "memory.peak") }, map[string]int64{"peak": absent})
	check("v2.txt", dockerID, wholeV2, func(tr *tree) { tr.write(v2+"memory.peak", "max\n") }, map[string]int64{"peak": absent}, fact.CgroupUnreadable)
	check("v1.txt", "hosta", wholeV1, func(tr *tree) { tr.remove("sys/fs/cgroup/cpuacct") },
		map[string]int64{"cpu": absent, "user": absent, "system": absent})
	check("v1.txt", "hosta", wholeV1, func(tr *tree) { tr.recreate("sys/fs/cgroup/cpuacct/hosta") }, // another cgroup with its name
		map[string]int64{"cpu": absent, "user": absent, "system": absent})
	for file, id := range map[string]string{"v1.txt": "hosta", "v2.txt": dockerID, "hybrid.txt": "hosta"} {
		tr := newTree(t, file)
		a := tr.open(tr.meter(), subject(id))
		read(a, 0)
		tr.remove("sys")
		checkUsage(t, file+", removed", finish(a), nil)
	}
}

// TestFinishOf: Finish reads the cgroups that the last Read used.
func TestFinishOf(t *testing.T) {
	leaktest.Check(t)
	check := func(what string, prepare func(*tree, *Account), want map[string]int64) {
		t.Helper()
		tr := newTree(t, "v1.txt")
		a := tr.open(tr.meter(), subject("hosta"))
		prepare(tr, a)
		checkUsage(t, what, finish(a), want)
	}
	whole := lasting(wholeV1)
	check("never read", func(*tree, *Account) {}, nil)
	check("read", func(_ *tree, a *Account) { read(a, 0) }, whole)
	check("closed", func(_ *tree, a *Account) {
		read(a, 0)
		a.Close()
	}, nil)
	check("updated", func(_ *tree, a *Account) {
		read(a, 0)
		a.Update(a.subject)
	}, whole)
	check("updated, and read after the end", func(tr *tree, a *Account) {
		read(a, 0)
		tr.endSentry(a)
		a.Update(a.subject)
		read(a, time.Second)
	}, whole)
	check("read first after the end", func(tr *tree, a *Account) {
		tr.endSentry(a)
		read(a, 0)
	}, nil)
	check("first read while it ends", func(_ *tree, a *Account) {
		a.subject.Alive = func() bool { return false }
		read(a, 0)
	}, nil)
	check("updated, and read while it is ending", func(tr *tree, a *Account) {
		read(a, 0)
		tr.endingSentry()
		a.Update(a.subject)
		if u := read(a, time.Second); !u.Empty() {
			t.Errorf("read while it is ending: %v, %v", values(u), u.Absent)
		}
	}, whole)
	check("first read while it is ending", func(tr *tree, a *Account) {
		tr.endingSentry()
		read(a, 0)
	}, nil)
	check("another's by now", func(tr *tree, a *Account) {
		read(a, 0)
		tr.write("sys/fs/cgroup/cpuacct/hosta/cgroup.procs", "1\n")
		a.Update(a.subject)
		read(a, time.Second)
	}, map[string]int64{"throttled": whole["throttled"], "peak": whole["peak"], "oom": whole["oom"]})
}

// TestFinishSentry: without a cgroup, the CPU time of the sentry is that of the record of its end.
func TestFinishSentry(t *testing.T) {
	check := func(what, id string, end *End, want map[string]int64) {
		t.Helper()
		tr := newTree(t, "v1.txt")
		tr.mkdir("proc/9021/fd")
		s := subject(id)
		s.End = func() *End { return end }
		a := tr.open(tr.meter(), s)
		if read(a, 0); end != nil {
			tr.endSentry(a)
		}
		checkUsage(t, what, finish(a), want)
	}
	check("more", "other", &End{CPU: sentryCPU + 5}, map[string]int64{"sentry cpu": sentryCPU + 5})
	check("not known", "other", &End{}, nil)
	check("no record", "other", nil, nil)
	check("with a cgroup", "hosta", &End{CPU: sentryCPU + 5}, lasting(wholeV1))

	const procs = "sys/fs/cgroup/cpuacct/hosta/cgroup.procs"
	tr := newTree(t, "v1.txt")
	tr.mkdir("proc/9021/fd")
	tr.write(procs, "9021\n1\n")
	s := subject("hosta")
	s.End = func() *End { return &End{CPU: sentryCPU + 5} }
	a := tr.open(tr.meter(), s)
	checkUsage(t, "never read", finish(a), nil)
	read(a, 0)
	tr.write(procs, "9021\n")
	a.Update(s)
	read(a, time.Second)
	checkUsage(t, "with a cgroup that was shared", finish(a), lasting(wholeV1))
}

// TestFinishHeld: Finish reads the files that have what it measures once each, and needs no path if
// they are held.
func TestFinishHeld(t *testing.T) {
	leaktest.Check(t)
	tr := newTree(t, "v1.txt")
	m := tr.meter()
	m.mayHold = mayHoldCgroups
	a := tr.open(m, subject("hosta"))
	read(a, 0)
	tr.remove("sys")
	checkUsage(t, "held", finish(a), lasting(wholeV1))
	u := new(fact.Reading)
	if calls := readCalls(t, func() { a.Finish(u, start) }); calls != 5 {
		t.Errorf("%v calls of read, want 5", calls)
	}
}

// TestFinishPod: what a pod's cgroup counts up to the end of a sandbox is that sandbox's, until the
// next one is measured.
func TestFinishPod(t *testing.T) {
	tr, open := newPod(t)
	used := func(microseconds, kills int) {
		t.Helper()
		tr.write(podDir+"/cpu.stat", fmt.Sprintf("usage_usec %d\n", microseconds))
		tr.write(podDir+"/memory.events", fmt.Sprintf("oom_kill %d\n", kills))
	}
	used(1_000, 2)
	first := open("first")
	read(first, 0)
	used(1_500, 3)
	checkPod(t, "the first sandbox", finish(first), 1_500_000, 3)
	used(1_600, 3)
	second := open("second")
	checkPod(t, "the second sandbox", read(second, time.Second), 100_000, 0)
	used(1_700, 4)
	checkUsage(t, "the first sandbox, later", finish(first), nil)
	checkPod(t, "the second sandbox, later", read(second, 2*time.Second), 200_000, 1)
	finish(first)
	second.Close()
	checkPod(t, "the third sandbox", read(open("third"), 3*time.Second), 0, 0)
}

// TestOOMKilled: an OOM kill counts if Finish or the last Read found it, or the only Read of a new sandbox.
func TestOOMKilled(t *testing.T) {
	const file = "sys/fs/cgroup/memory/hosta/memory.oom_control"
	const removed = -1
	isNew := false
	check := func(want bool, last int, reads ...int) {
		t.Helper()
		tr := newTree(t, "v1.txt")
		s := subject("hosta")
		s.New = isNew
		a := tr.open(tr.meter(), s)
		set := func(n int) {
			t.Helper()
			if n == removed {
				tr.remove(file)
			} else {
				tr.write(file, fmt.Sprintf("oom_kill %d\n", n))
			}
		}
		for i, n := range reads {
			set(n)
			read(a, time.Duration(i)*time.Second)
		}
		set(last)
		tr.endSentry(a)
		for range 2 {
			finish(a)
			read(a, time.Hour)
			if got, scope := a.OOMKilled(); got != want || scope != "" { // cgroup v1 does not tell the scope
				t.Errorf("%v, then %d (new: %t): %t, %q, want %t", reads, last, isNew, got, scope, want)
			}
		}
	}
	check(false, 0, 0)
	check(true, 1, 0)
	check(false, 0, 0, 0)
	check(true, 1, 0, 0)
	check(true, 1, 0, 1) // the last Read was between the kill and the end
	check(true, removed, 0, 1)
	check(false, 1, 0, 1, 1) // the sandbox has survived it
	check(false, 1, 1, 1)
	check(true, 2, 0, 1, 1)
	check(false, 2, 2) // nothing tells when
	check(true, 3, 2)
	check(false, removed, 2)
	check(false, 1)
	isNew = true
	check(true, 1, 1)
	check(true, removed, 1)
	check(false, 1, 1, 1)
	check(true, 1, 0)
	check(false, 0, 0)
}

// TestMeterConcurrently: a Meter and its Accounts may be used by several goroutines.
func TestMeterConcurrently(t *testing.T) {
	leaktest.Check(t)
	tr := newTree(t, "v1.txt")
	m := tr.meter()
	m.mayHold = mayHoldCgroups
	var busy sync.WaitGroup
	for range 4 {
		a := tr.open(m, subject("hosta"))
		repeat := func(f func()) {
			busy.Go(func() {
				for range 50 {
					f()
				}
			})
		}
		repeat(func() { checkUsage(t, "Read", read(a, 0), wholeV1) })
		repeat(func() {
			if u := finish(a); u.Has(fact.CPU) && !maps.Equal(values(u), lasting(wholeV1)) {
				t.Errorf("Finish: %v", values(u))
			}
		})
		repeat(func() { a.Update(subject("hosta")) })
		repeat(func() { _, _ = a.OOMKilled() })
		repeat(func() { m.WaitingForCPU() })
		repeat(a.Keep)
		repeat(func() { a.StillShared() })
	}
	busy.Wait()
}

// TestFinishOutOfMemory: the kernel has counted an OOM kill when the watcher sees the end, and the
// cgroup can be read until it is removed.
func TestFinishOutOfMemory(t *testing.T) {
	leaktest.Check(t)
	m, err := NewMeter("")
	if err != nil {
		t.Fatal(err)
	}
	const id = "sandmeter-test-out-of-memory"
	const limit = 16 << 20
	dirs := makeCgroups(t, m, id, limit)
	c := startScript(t, "exec dd if=/dev/zero of=/dev/null bs=64M count=1 2>/dev/null") // more than the limit
	for _, dir := range dirs {
		if err := os.WriteFile(dir+"/cgroup.procs", []byte(fmt.Sprint(c.pid)), 0); err != nil {
			t.Fatal(err)
		}
	}

	w := newQuietWatcher(t)
	p := w.Watch(c.pid)
	a := m.Open(Subject{ID: id, PID: c.pid, Alive: p.Alive, End: p.End})
	defer a.Close()
	before := read(a, 0)
	if !before.Has(fact.CPU) || !before.Has(fact.OOMKills) {
		t.Fatalf("no cgroup of its own: %v, %v", values(before), before.Absent)
	}
	var last *fact.Reading
	p.AtEnd(func() { last = finish(a) })
	c.run()
	w.Sync()
	checkExit(t, "the child", p, known, Exit{Signal: 9})
	got := values(last)
	killed, _ := a.OOMKilled()
	if used := values(before)["cpu"]; got["oom"] != 1 || !killed || got["cpu"] <= used || got["peak"] < limit/2 {
		t.Errorf("at the end: %v, after %d ns of CPU time; killed: %t", got, used, killed)
	}
	c.reap()
	checkUsage(t, "reaped", finish(a), got)
	for _, dir := range dirs {
		if err := os.Remove(dir); err != nil {
			t.Fatal(err)
		}
	}
	checkUsage(t, "removed", finish(a), nil)
}

// makeCgroups makes cgroups with a limit of memory, and skips the test where it may not. They are
// removed at the end of the test.
func makeCgroups(t *testing.T, m *Meter, name string, limit int64) (dirs []string) {
	t.Helper()
	limited := false
	for i := range m.mounts {
		mount := &m.mounts[i]
		if mount.root != "/" || len(hierarchiesOf([]membership{{controllers: mount.controllers}})) == 0 {
			continue // the meter reads nothing there
		}
		dir := filepath.Join(mount.dir, name)
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Skipf("needs cgroups that it may change: %v", err)
		}
		dirs = append(dirs, dir)
		t.Cleanup(func() { _ = os.Remove(dir) })
		for _, file := range []string{"memory.max", "memory.limit_in_bytes"} {
			limited = os.WriteFile(filepath.Join(dir, file), []byte(fmt.Sprint(limit)), 0) == nil || limited
		}
	}
	if !limited {
		t.Skip("needs cgroups with the memory controller")
	}
	return dirs
}
