package host

import (
	"bytes"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/leaktest"
)

var names = [fact.Quantities]string{
	"cpu", "system", "user", "throttled", "memory", "peak", "oom", "cpu full", "cpu some", "io full", "io some", "memory full", "memory some",
	"threads", "sentry cpu", "sentry memory",
}

// values returns the quantities that are present.
func values(u *fact.Reading) map[string]int64 {
	present := make(map[string]int64)
	for q := range fact.Quantities {
		if v, ok := u.Get(q); ok {
			present[names[q]] = v
		}
	}
	return present
}

func checkUsage(t *testing.T, what string, u *fact.Reading, want map[string]int64, absent ...fact.Reason) {
	t.Helper()
	if got := values(u); !maps.Equal(got, want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
	if !slices.Equal(u.Absent, absent) {
		t.Errorf("%s: absent because of %v, want %v", what, u.Absent, absent)
	}
}

// sentryMemoryOfTree is the anonymous memory in the recorded statm.
func sentryMemoryOfTree() int64 { return int64(10956-8593) * int64(os.Getpagesize()) }

var (
	wholeV1 = map[string]int64{
		"cpu": 36_619_817_067, "user": 17_060_000_000, "system": 19_550_000_000, "throttled": 42_905_659, "memory": 22_081_536, "peak": 22_220_800,
		"oom": 0, "threads": 21,
	}
	wholeV2 = map[string]int64{
		"cpu": 4_132_116_000, "user": 3_020_000_000, "system": 1_112_116_000, "throttled": 250_000_000, "memory": 298_237_952, "peak": 301_989_888,
		"oom": 2, "threads": 179, "cpu some": 54_352_179_000, "cpu full": 5_251_845_000, "io some": 1_200_000, "io full": 700_000,
		"memory some": 240_162_000, "memory full": 48_778_000,
	}
	wholeHybrid = map[string]int64{
		"cpu": 4_132_116_000, "user": 3_020_000_000, "system": 1_112_116_000, "memory": 22_081_536, "peak": 22_220_800, "oom": 0, "threads": 21,
		"cpu some": 1_200_000, "cpu full": 700_000,
	}
)

func TestRecorded(t *testing.T) {
	leaktest.Check(t)
	measure := func(file, id string, want map[string]int64) {
		t.Helper()
		tr := newTree(t, file)
		a := tr.open(tr.meter(), subject(id))
		u := read(a, 0)
		checkUsage(t, file, u, want)
		eth0 := fact.Interface{Name: "eth0", Counters: [...]int64{4430, 2, 1, 17, 20839042, 4, 3, 20001}}
		if !slices.Equal(u.Interfaces, []fact.Interface{eth0}) {
			t.Errorf("%s: %v, want %v", file, u.Interfaces, eth0)
		}
		checkUsage(t, file+" again", read(a, time.Second), want)
		a.Close()
	}
	measure("v1.txt", "hosta", wholeV1)
	measure("v2.txt", dockerID, wholeV2)
	measure("hybrid.txt", "hosta", wholeHybrid)
}

// TestOtherKernels: files and lines that a kernel lacks make their quantities absent, and nothing
// else. Without a figure for CPU, memory or threads there is a reason.
func TestOtherKernels(t *testing.T) {
	const v2 = "sys/fs/cgroup/system.slice/docker-" + dockerID + ".scope/"
	sentry := map[string]int64{"sentry cpu": sentryCPU, "sentry memory": sentryMemoryOfTree()}
	without := func(file, id string, whole map[string]int64, change func(*tree), missing []string, absent ...fact.Reason) {
		t.Helper()
		tr := newTree(t, file)
		tr.mkdir("proc/9021/fd")
		change(tr)
		want := maps.Clone(whole)
		for _, name := range missing {
			delete(want, name)
			if s := "sentry " + name; sentry[s] != 0 {
				want[s] = sentry[s]
			}
		}
		checkUsage(t, "without "+strings.Join(missing, ", "), read(tr.open(tr.meter(), subject(id)), 0), want, absent...)
	}
	remove := func(files ...string) func(*tree) {
		return func(tr *tree) {
			for _, f := range files {
				tr.remove(f)
			}
		}
	}
	without("v2.txt", dockerID, wholeV2, remove(v2+"memory.peak"), []string{"peak"})
	without("v2.txt", dockerID, wholeV2, remove(v2+"cpu.pressure", v2+"io.pressure"), []string{"cpu some", "cpu full", "io some", "io full"})
	without("v2.txt", dockerID, wholeV2, func(tr *tree) { tr.replace(v2+"cpu.pressure", "full ", "else ") }, []string{"cpu full"})
	without("v2.txt", dockerID, wholeV2, func(tr *tree) { tr.replace(v2+"cpu.stat", "throttled_usec 250000\n", "") }, []string{"throttled"})
	without("v2.txt", dockerID, wholeV2, remove(v2+"memory.current"), []string{"memory"}, fact.ControllerMissing)
	without("v2.txt", dockerID, wholeV2, remove(v2+"pids.current"), []string{"threads"}, fact.ControllerMissing)
	without("v2.txt", dockerID, wholeV2, func(tr *tree) { tr.write(v2+"memory.current", "max\n") }, []string{"memory"}, fact.CgroupUnreadable)
	without("v1.txt", "hosta", wholeV1, func(tr *tree) { tr.replace("proc/9021/cgroup", "4:memory:/hosta\n", "") },
		[]string{"memory", "peak", "oom"}, fact.CgroupForeign) // of cgroup v2 then, where it is in the root cgroup
	without("v1.txt", "hosta", wholeV1, func(tr *tree) { tr.write("sys/fs/cgroup/cpu/hosta/cpu.cfs_quota_us", "-1\n") }, []string{"throttled"})
	without("v1.txt", "hosta", wholeV1, func(tr *tree) { tr.replace("sys/fs/cgroup/memory/hosta/memory.oom_control", "oom_kill 0\n", "") }, []string{"oom"})
}

// TestEnded: what was read about the PID of a sentry that has ended is about no sandbox.
func TestEnded(t *testing.T) {
	tr := newTree(t, "v1.txt")
	s := subject("hosta")
	s.Alive = func() bool { return false }
	a := tr.open(tr.meter(), s)
	for range 2 {
		u := read(a, 0)
		checkUsage(t, "ended", u, nil)
		if len(u.Interfaces) != 0 {
			t.Errorf("interfaces: %v", u.Interfaces)
		}
	}
}

// TestCounter: the total is the growth of the kernel's counter, and never falls.
func TestCounter(t *testing.T) {
	var c counter
	add := func(what string, source uint64, value, want int64) {
		t.Helper()
		if got := c.add(source, value); got != want {
			t.Errorf("%s: %d, want %d", what, got, want)
		}
	}
	add("first", 1, 100, 100)
	add("growth", 1, 130, 130)
	add("none", 1, 130, 130)
	add("a fall", 1, 20, 130)
	add("growth after a fall", 1, 25, 135)
	add("another counter begins at 0", 2, 50, 185)
	add("a smaller one too", 3, 1, 186)
	c.paused = true
	add("growth while paused", 3, 11, 186)
	add("growth after that", 3, 12, 187)
	c.paused = true
	add("another counter after a pause", 4, 5, 192)
}

// TestNewCgroup: the counters go on in a new cgroup at the same path, which is tested like the
// first.
func TestNewCgroup(t *testing.T) {
	const cpu = "sys/fs/cgroup/cpuacct/hosta"
	tr := newTree(t, "v1.txt")
	a := tr.open(tr.meter(), subject("hosta"))
	read(a, 0)
	tr.recreate(cpu)
	tr.write(cpu+"/cpuacct.usage", "500\n")
	tr.write(cpu+"/cpuacct.stat", "user 1\nsystem 0\n")
	want := maps.Clone(wholeV1)
	want["cpu"] += 500
	want["user"] += 10_000_000
	checkUsage(t, "a new cgroup", read(a, time.Second), want)
	checkUsage(t, "the same cgroup", read(a, 2*time.Second), want)

	tr.recreate(cpu)
	tr.write(cpu+"/cgroup.procs", "9021\n1\n")
	for _, gone := range []string{"cpu", "user", "system"} {
		delete(want, gone)
	}
	tr.mkdir("proc/9021/fd")
	want["sentry cpu"] = sentryCPU
	checkUsage(t, "a new cgroup that others use", read(a, 3*time.Second), want, fact.CgroupShared)
}

// TestNoCgroup: files of a cgroup that is removed for good are absent.
func TestNoCgroup(t *testing.T) {
	tr := newTree(t, "v2.txt")
	tr.mkdir("proc/9021/fd")
	a := tr.open(tr.meter(), subject(dockerID))
	read(a, 0)
	tr.remove("sys")
	checkUsage(t, "removed", read(a, time.Second), map[string]int64{"sentry cpu": sentryCPU, "sentry memory": sentryMemoryOfTree()}, fact.CgroupUnreadable)
}

// TestLost: what a cgroup counts while others use it is not counted, also when they have left.
func TestLost(t *testing.T) {
	const cpu = "sys/fs/cgroup/cpuacct/hosta/"
	tr := newTree(t, "v1.txt")
	s := subject("hosta")
	a := tr.open(tr.meter(), s)
	read(a, 0)
	tr.write(cpu+"cgroup.procs", "9021\n1\n")
	tr.write(cpu+"cpuacct.usage", "40000000000\n")
	a.Update(s) // its containers have changed
	if u := read(a, time.Second); u.Has(fact.CPU) || !u.Has(fact.Memory) || !slices.Equal(u.Absent, []fact.Reason{fact.CgroupShared}) {
		t.Errorf("while others use it: %v, %v", values(u), u.Absent)
	}
	tr.write(cpu+"cgroup.procs", "9021\n")
	tr.write(cpu+"cpuacct.usage", "50000000000\n")
	if u := read(a, retestAfter); u.Has(fact.CPU) {
		t.Errorf("a minute has not passed: %v", values(u))
	}
	checkUsage(t, "when they have left", read(a, time.Second+retestAfter), wholeV1)
	tr.write(cpu+"cpuacct.usage", "50000000001\n")
	if used, _ := read(a, time.Hour).Get(fact.CPU); used != wholeV1["cpu"]+1 {
		t.Errorf("later: %d, want %d", used, wholeV1["cpu"]+1)
	}
}

// TestSentry: the sentry's memory has its anonymous memory and its memory files, each file once,
// whether it is mapped or not.
func TestSentry(t *testing.T) {
	leaktest.Check(t)
	m, err := NewMeter("")
	if err != nil {
		t.Fatal(err)
	}
	a := m.Open(Subject{ID: "no such cgroup", PID: os.Getpid(), Alive: func() bool { return true }})
	defer a.Close()
	memory := func() int64 {
		t.Helper()
		n, err := a.memfdBlocks()
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	const size = 1 << 20
	before := memory()
	fd, err := unix.MemfdCreate("test", unix.MFD_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	again, err := unix.Dup(fd)
	if err != nil {
		t.Fatal(err)
	}
	a.Update(a.subject) // containers have changed
	write(t, fd, size)
	if got := memory() - before; got != size {
		t.Errorf("a file of %d bytes adds %d", size, got)
	}
	write(t, fd, size)
	if got := memory() - before; got != 2*size {
		t.Errorf("a file of %d bytes adds %d", 2*size, got)
	}
	unix.Close(fd)
	unix.Close(again)
	if got := memory(); got != before {
		t.Errorf("without the file: %d bytes, want %d", got, before)
	}
	if n, err := a.sentryMemory(); err != nil || n < 1<<20 {
		t.Errorf("the memory of this process is %d bytes, %v", n, err)
	}
}

func write(t *testing.T, fd, size int) {
	t.Helper()
	if n, err := unix.Write(fd, make([]byte, size)); err != nil || n != size {
		t.Fatal(n, err)
	}
}

// TestCPUClock: the clock of a process is the one that the process itself reads.
func TestCPUClock(t *testing.T) {
	own := func() int64 {
		var used unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_PROCESS_CPUTIME_ID, &used); err != nil {
			t.Fatal(err)
		}
		return used.Nano()
	}
	before := own()
	got, err := cpuClock(os.Getpid())
	if after := own(); err != nil || got < before || got > after {
		t.Errorf("%d, %v, want %d to %d", got, err, before, after)
	}
	if got, err := cpuClock(1 << 22); err == nil {
		t.Errorf("of no process: %d", got)
	}
}

// TestSentryUnreadable: what cannot be read of a sentry is absent.
func TestSentryUnreadable(t *testing.T) {
	tr := newTree(t, "v1.txt")
	tr.remove("proc/9021/cgroup")
	tr.remove("proc/9021/fd")
	m := tr.meter()
	checkUsage(t, "no permission", read(tr.open(m, subject("hosta")), 0), map[string]int64{"sentry cpu": sentryCPU}, fact.CgroupUnreadable, fact.SentryUnreadable)
	tr.write("proc/9021/fd/3", "no link, which is an error as for a user without permission")
	checkUsage(t, "no permission for links", read(tr.open(m, subject("hosta")), 0), map[string]int64{"sentry cpu": sentryCPU}, fact.CgroupUnreadable, fact.SentryUnreadable)
	m.cpuClock = func(int) (int64, error) { return 0, unix.EINVAL }
	checkUsage(t, "nothing", read(tr.open(m, subject("hosta")), 0), nil, fact.CgroupUnreadable, fact.SentryUnreadable)
}

// TestHeld: files are held while there are descriptors, and reading them takes no memory. Close
// gives them back.
func TestHeld(t *testing.T) {
	leaktest.Check(t)
	tr := newTree(t, "v1.txt")
	m := tr.meter()
	held := func(a *Account) (n int) {
		for _, c := range a.cgroups {
			for _, f := range c.files {
				if f.fd >= 0 {
					n++
				}
			}
		}
		return n
	}
	check := func(below func() int, want int) {
		t.Helper()
		m.mayHold = below
		a := m.Open(subject("hosta"))
		checkUsage(t, fmt.Sprintf("%d held", want), read(a, 0), wholeV1)
		if got := held(a); got != want {
			t.Errorf("%d files are held, want %d", got, want)
		}
		u, sources := new(fact.Reading), new([fact.Quantities]uint64)
		if calls := readCalls(t, func() { a.Read(u, start) }); calls != 9 { // seven files, and two for the network
			t.Errorf("%v calls of read, want 9", calls)
		}
		if allocated := testing.AllocsPerRun(10, func() { a.readFiles(u, sources) }); want > 0 && allocated > 0 {
			t.Errorf("a reading takes %v allocations", allocated)
		}
		a.Update(a.subject) // closes the files and opens them again
		checkUsage(t, fmt.Sprintf("%d held, updated", want), read(a, time.Second), wholeV1)
		a.Close()
		a.Close()
	}
	check(func() int { return 0 }, 0)
	check(mayHoldCgroups, 7)
}

// readCalls returns how many times f reads from files, by the kernel's count.
func readCalls(t *testing.T, f func()) float64 {
	t.Helper()
	count := func() (n int) {
		data, err := os.ReadFile("/proc/self/io")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := fmt.Sscanf(string(data[bytes.Index(data, []byte("syscr:")):]), "syscr: %d", &n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	const rounds = 1000
	before := count()
	for range rounds {
		f()
	}
	return float64((count() - before) / rounds) // the few calls of others do not count
}

// TestWaitingForCPU: the pressure on the node's CPUs, where the kernel has it.
func TestWaitingForCPU(t *testing.T) {
	m := &Meter{root: t.TempDir(), buffer: make([]byte, bufferSize)}
	check := func(want time.Duration, wantOK bool) {
		t.Helper()
		if got, ok := m.WaitingForCPU(); got != want || ok != wantOK {
			t.Errorf("got %v, %t; want %v, %t", got, ok, want, wantOK)
		}
	}
	check(0, false)
	file := m.proc("pressure", "cpu")
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		t.Fatal(err)
	}
	for content, want := range map[string]time.Duration{
		"some avg10=14.98 avg60=35.27 avg300=44.56 total=2947545070\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n": 2947545070 * time.Microsecond,
		"full total=7\n":  -1,
		"some total=x\n":  -1,
		"some total=-1\n": -1,
	} {
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		check(max(want, 0), want >= 0)
	}
}
