package host

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// TestNamed: which names of cgroups say that they were made for the sandbox.
func TestNamed(t *testing.T) {
	const uid = "c2a3b4d5-0123-4567-89ab-cdef01234567"
	check := func(path, cgroup string, want bool) {
		t.Helper()
		s := Subject{ID: "sb-1", Cgroup: cgroup, PodUID: uid}
		if got := s.named(path); got != want {
			t.Errorf("%s with %q in the spec: %v", path, cgroup, got)
		}
	}
	for _, path := range []string{
		"/sb-1", "/docker/sb-1", "/k8s.io/sb-1", "/system.slice/docker-sb-1.scope", "/kubepods/burstable/pod" + uid, "/kubepods/pod" + uid + "/sb-1",
		"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podc2a3b4d5_0123_4567_89ab_cdef01234567.slice",
	} {
		check(path, "", true)
	}
	check("/any/name", "/any/name", true)
	check("/at/another/name", "/name", true)
	check("/my.slice/pre-name.scope", "/my.slice/pre-name.scope", true)
	for _, path := range []string{
		"/", "/system.slice", "/user.slice/user-0.slice/session-3.scope", "/docker", "/kubepods/besteffort", "/sb-10", "/xsb-1", "/sb-1/other",
		"/kubepods.slice", "/name", "/..", "/system.slice/sb-1.service",
	} {
		check(path, "", false)
	}
	check("/", "/", false)
	check("/other", "/any/name", false)
	check("/my.slice", "/my.slice/pre-name.scope", false)
}

// TestOwnCgroup: a cgroup counts only if all processes in it and below it are the sandbox's.
func TestOwnCgroup(t *testing.T) {
	const cpu = "sys/fs/cgroup/cpu/hosta/"
	check := func(what string, change func(*tree, *Subject), want ...fact.Reason) {
		t.Helper()
		tr, s := newTree(t, "v1.txt"), subject("hosta")
		tr.mkdir("proc/9021/fd")
		change(tr, &s)
		if u := read(tr.open(tr.meter(), s), 0); !slices.Equal(u.Absent, want) {
			t.Errorf("%s: absent because of %v, want %v", what, u.Absent, want)
		}
	}
	processes := func(lines string) func(*tree, *Subject) {
		return func(tr *tree, _ *Subject) { tr.write(cpu+"cgroup.procs", lines) }
	}
	check("as recorded", func(*tree, *Subject) {})
	check("the sentry alone", processes("9021\n"))
	check("a process that is gone", processes("9021\n4000\n"))
	check("process 1", processes("9021\n1\n"), fact.CgroupShared)
	check("a process of another PID namespace", processes("9021\n0\n"), fact.CgroupShared)
	check("another process", func(tr *tree, _ *Subject) {
		tr.write(cpu+"cgroup.procs", "9021\n50\n")
		tr.write("proc/50/stat", "50 (dockerd) S 1"+strings.Repeat(" 1", 20)+"\n")
	}, fact.CgroupShared)
	check("a grandchild of a stub", func(tr *tree, _ *Subject) {
		tr.write(cpu+"cgroup.procs", "51\n9021\n")
		tr.write("proc/50/stat", "50 (exe) S 9038"+strings.Repeat(" 1", 20)+"\n")
		tr.write("proc/51/stat", "51 (exe) S 50"+strings.Repeat(" 1", 20)+"\n")
	})
	check("a child of another process", func(tr *tree, _ *Subject) {
		tr.write(cpu+"cgroup.procs", "9021\n51\n")
		tr.write("proc/50/stat", "50 (dockerd) S 1"+strings.Repeat(" 1", 20)+"\n")
		tr.write("proc/51/stat", "51 (sentry) S 50"+strings.Repeat(" 1", 20)+"\n")
	}, fact.CgroupShared)
	check("a child of a process that is gone", func(tr *tree, _ *Subject) {
		tr.write(cpu+"cgroup.procs", "9021\n51\n")
		tr.write("proc/51/stat", "51 (exe) S 50"+strings.Repeat(" 1", 20)+"\n")
	}, fact.CgroupShared)
	check("a loop of parents", func(tr *tree, _ *Subject) {
		tr.write(cpu+"cgroup.procs", "50\n")
		tr.write("proc/50/stat", "50 (exe) S 50"+strings.Repeat(" 1", 20)+"\n")
	}, fact.CgroupShared)
	check("an unknown gofer", func(_ *tree, s *Subject) { s.Gofers = nil }, fact.CgroupShared)
	check("containers without gofers", func(_ *tree, s *Subject) { s.Gofers = []int{goferPID, 0, 1} })
	check("0 as gofer, and another process", func(tr *tree, s *Subject) {
		s.Gofers = []int{goferPID, 0, 1}
		tr.write(cpu+"cgroup.procs", "9021\n1\n")
	}, fact.CgroupShared)
	nested := func(status string) func(*tree, *Subject) {
		return func(tr *tree, s *Subject) {
			s.Gofers, s.Level = []int{13}, 1
			tr.write(fmt.Sprintf("proc/%d/status", goferPID), status)
		}
	}
	check("a gofer of another PID namespace", nested("Name:\trunsc-gofer\nNSpid:\t9000\t13\t1\n"))
	check("another process of that namespace", nested("Name:\tdockerd\nNSpid:\t9000\t14\n"), fact.CgroupShared)
	check("a process here with the PID of the gofer there", nested("Name:\tdockerd\nNSpid:\t13\n"), fact.CgroupShared)
	check("a cgroup below with its own processes", func(tr *tree, _ *Subject) { tr.write(cpu+"container/cgroup.procs", "9048\n") })
	check("a cgroup below with another process", func(tr *tree, _ *Subject) {
		tr.write(cpu+"a/b/cgroup.procs", "1\n")
		tr.write(cpu+"a/cgroup.procs", "")
	}, fact.CgroupShared)
	check("too many processes", processes(strings.Repeat("9021\n", maxCensus+1)), fact.CgroupLarge)
	check("as many as allowed", processes(strings.Repeat("9021\n", maxCensus)))
	check("far too many processes", processes(strings.Repeat("9021\n", bufferSize/4)), fact.CgroupLarge)
	check("too many cgroups", func(tr *tree, _ *Subject) {
		for i := range maxCgroups + 1 {
			tr.write(cpu+strconv.Itoa(i)+"/cgroup.procs", "")
		}
	}, fact.CgroupLarge)
	check("no list of processes", func(tr *tree, _ *Subject) { tr.remove(cpu + "cgroup.procs") }, fact.CgroupUnreadable)
	check("another kind of list", processes("9021 9022\n"), fact.CgroupUnreadable)
	check("the root cgroup", func(tr *tree, _ *Subject) { tr.replace("proc/9021/cgroup", ":/hosta", ":/") }, fact.CgroupForeign)
	check("a session", func(tr *tree, _ *Subject) { tr.replace("proc/9021/cgroup", ":/hosta", ":/user.slice/session-1.scope") }, fact.CgroupForeign)
	check("no mount", func(tr *tree, _ *Subject) { tr.replace("proc/self/mountinfo", "/sys/fs/cgroup/cpu ", "/elsewhere ") }, fact.CgroupUnreadable)
	check("a mount of another cgroup", func(tr *tree, _ *Subject) { tr.replace("proc/self/mountinfo", "0:29 / ", "0:29 /docker/x ") }, fact.CgroupUnreachable)
	check("another cgroup namespace", func(tr *tree, _ *Subject) { tr.replace("proc/9021/cgroup", "cpu:/hosta", "cpu:/../hosta") }, fact.CgroupUnreachable)
}

// TestCgroupNamespace: in a container, the paths of all cgroups begin at that of the container.
func TestCgroupNamespace(t *testing.T) {
	tr := newTree(t, "v2.txt")
	tr.write("proc/self/mountinfo", "35 23 0:29 /../../../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n")
	tr.write("sys/fs/cgroup/kubepods/besteffort/pods/other/cgroup.procs", "1\n")
	tr.write("sys/fs/cgroup/kubepods/besteffort/pods/server/cgroup.procs", fmt.Sprintf("1\n%d\n", os.Getpid()))
	if err := os.Rename(tr.path("sys/fs/cgroup/system.slice/docker-"+dockerID+".scope"), tr.path("sys/fs/cgroup/kubepods/"+dockerID)); err != nil {
		t.Fatal(err)
	}
	check := func(self, sentry string, want map[string]int64, absent ...fact.Reason) {
		t.Helper()
		tr.write("proc/self/cgroup", "0::"+self+"\n")
		tr.write("proc/9021/cgroup", "0::"+sentry+"\n")
		tr.mkdir("proc/9021/fd")
		checkUsage(t, sentry+" as seen from "+self, read(tr.open(tr.meter(), subject(dockerID)), 0), want, absent...)
	}
	sentry := map[string]int64{"sentry cpu": sentryCPU, "sentry memory": sentryMemoryOfTree()}
	check("/", "/../../../"+dockerID, wholeV2)
	check("/", "/../../../../kubepods/"+dockerID, wholeV2)
	check("/", "/../../../../../"+dockerID, sentry, fact.CgroupUnreachable)
	check("/", "/../../"+dockerID, sentry, fact.CgroupUnreadable) // a path that is not there
	check("/below", "/../../../"+dockerID, sentry, fact.CgroupUnreachable)
	tr.write("sys/fs/cgroup/kubepods/besteffort/pods/server/below/cgroup.procs", fmt.Sprintf("%d\n", os.Getpid()))
	check("/below", "/../../../"+dockerID, wholeV2)
}

// TestDirOf: where cgroups are found by the list of mounts.
func TestDirOf(t *testing.T) {
	m := &Meter{root: "/r", mounts: parseMounts([]byte(`
1 1 0:1 /docker/x /own rw shared:1 - cgroup cgroup rw,memory
2 1 0:1 / /all rw - cgroup cgroup rw,memory
3 1 0:2 / /with\040space rw - cgroup cgroup rw,cpuacct,cpu
4 1 0:3 /../.. /host rw - cgroup2 cgroup2 rw
5 1 0:3 /.. /parent rw - cgroup2 cgroup2 rw
6 1 0:4 / /pids rw - tmpfs cgroup rw,pids
x - cgroup
`))}
	check := func(line, want string) {
		t.Helper()
		members := parseMemberships([]byte(line))
		if len(members) != 1 {
			t.Fatalf("%q: %v", line, members)
		}
		if dir, ok := m.dirOf(&members[0]); dir != want || ok != (want != "") {
			t.Errorf("%q: %q, %v, want %q", line, dir, ok, want)
		}
	}
	check("4:memory:/docker/x/y\n", "/r/own/y")
	check("4:memory:/docker/x\n", "/r/own")
	check("4:memory:/docker/xy\n", "/r/all/docker/xy")
	check("4:memory:/../docker/x/y\n", "")
	check("4:memory:/a:b (deleted)\n", "/r/all/a:b")
	check("3:cpu,cpuacct:/a\n", "/r/with space/a")
	check("0::/../../pod/a\n", "/r/host/pod/a")
	check("0::/../pod\n", "/r/parent/pod")
	check("0::/../../../a\n", "")
	check("0::/a\n", "")
	check("5:pids:/a\n", "")
}
