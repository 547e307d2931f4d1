package metricserver

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// hostTree is a directory tree that stands for the host's /proc and /sys/fs/cgroup.
type hostTree struct {
	*testing.T
	dir string
}

// A hostUse describes a sandbox's process in the tree. Without a path, its cgroup belongs to a session, so
// the server can measure the sentry only.
type hostUse struct {
	cgroup  string            // path in each hierarchy
	files   map[string]string // in the cgroup, by name; cgroup v1 has the hierarchy in front, as in "pids/pids.current"
	members string            // more lines of cgroup.procs
	network string            // network namespace
	devices string            // lines of net/dev
}

// Mounts of cgroups.
const (
	mountsV1 = "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n" +
		"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n" +
		"33 31 0:30 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n" +
		"34 31 0:31 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n" +
		"35 31 0:32 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
	mountsV2 = "35 23 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"

	hostNetwork = "net:[4026531833]"
)

func newHostTree(t *testing.T, mounts string) *hostTree {
	h := &hostTree{t, t.TempDir()}
	h.write("proc/self/mountinfo", mounts)
	h.link("proc/self/ns/net", hostNetwork)
	h.link("proc/1/ns/net", hostNetwork)
	h.write("proc/pressure/cpu", "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 total=0\n")
	return h
}

func (h *hostTree) write(path, content string) {
	h.Helper()
	if err := os.WriteFile(h.path(path), []byte(content), 0o644); err != nil {
		h.Fatal(err)
	}
}

func (h *hostTree) link(path, target string) {
	h.Helper()
	if err := os.Symlink(target, h.path(path)); err != nil {
		h.Fatal(err)
	}
}

// path returns a path in the tree, whose directory exists.
func (h *hostTree) path(path string) string {
	h.Helper()
	path = filepath.Join(h.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		h.Fatal(err)
	}
	return path
}

// add adds a process.
func (h *hostTree) add(pid int, u hostUse) {
	h.Helper()
	proc := fmt.Sprintf("proc/%d/", pid)
	h.write(proc+"cgroup", memberships(u))
	h.write(proc+"net/dev", netDevHead+u.devices)
	h.link(proc+"ns/net", u.network)
	h.write(proc+"statm", anonymousMiB)
	h.path(proc + "fd/x")
	for name, content := range u.files {
		cgroup := filepath.Join("sys/fs/cgroup", filepath.Dir(name), u.cgroup)
		h.write(cgroup+"/cgroup.procs", strconv.Itoa(pid)+"\n"+u.members)
		h.write(cgroup+"/"+filepath.Base(name), content)
	}
}

// send changes the network counters of a process.
func (h *hostTree) send(pid int, devices string) {
	h.Helper()
	h.write(fmt.Sprintf("proc/%d/net/dev", pid), netDevHead+devices)
}

const netDevHead = "Inter-|   Receive                            |  Transmit\n" +
	" face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed\n" +
	"    lo: 99 9 9 9 0 0 0 0 99 9 9 9 0 0 0 0\n"

// anonymousMiB is a statm with a mebibyte of anonymous pages, for any page size.
var anonymousMiB = fmt.Sprintf("100 %d 5 0 0 0 0\n", 5+(1<<20)/os.Getpagesize())

// memberships returns the content of /proc/PID/cgroup.
func memberships(u hostUse) string {
	if u.cgroup == "" {
		return "0::/user.slice/session-1.scope\n"
	}
	var lines []string
	for _, controller := range []string{"cpu", "cpuacct", "memory", "pids"} {
		for name := range u.files {
			if filepath.Dir(name) == controller {
				lines = append(lines, fmt.Sprintf("%d:%s:%s\n", len(lines)+1, controller, u.cgroup))
				break
			}
		}
	}
	if lines == nil {
		return "0::" + u.cgroup + "\n"
	}
	return strings.Join(lines, "")
}

// All uses have little memory. The server compares memory only above a sum of 64 MB over several scrapes, so
// a slow test does not add families.

// modestUse has a cgroup v2 and no network interface.
func modestUse(cgroup string) hostUse {
	return hostUse{cgroup: cgroup, network: "net:[4026532001]", files: map[string]string{
		"cpu.stat":       "usage_usec 125000\n",
		"memory.current": "65536\n",
		"memory.peak":    "20000000\n",
		"memory.events":  "oom 0\noom_kill 0\n",
		"pids.current":   "11\n",
	}}
}

// fullUse has every figure of cgroup v2, and two network interfaces.
func fullUse(cgroup string) hostUse {
	return hostUse{
		cgroup: cgroup, network: "net:[4026532256]",
		devices: "  eth0: 1001 102 3 4 0 0 0 0 2005 206 7 8 0 0 0 0\n  eth1: 11 12 0 0 0 0 0 0 15 16 0 0 0 0 0 0\n",
		files: map[string]string{
			"cpu.stat":        "usage_usec 1500000\nuser_usec 1250000\nsystem_usec 250000\nthrottled_usec 125000\n",
			"memory.current":  "131072\n",
			"memory.peak":     "50331648\n",
			"memory.events":   "oom 1\noom_kill 2\n",
			"pids.current":    "21\n",
			"cpu.pressure":    "some avg10=0.00 total=500000\nfull avg10=0.00 total=0\n",
			"io.pressure":     "some avg10=0.00 total=400000\nfull avg10=0.00 total=375000\n",
			"memory.pressure": "some avg10=0.00 total=250000\nfull avg10=0.00 total=125000\n",
		},
	}
}

// useV1 has every figure of cgroup v1, and a network interface.
func useV1(cgroup string) hostUse {
	return hostUse{
		cgroup: cgroup, network: "net:[4026532256]",
		devices: "  eth0: 1001 102 3 4 0 0 0 0 2005 206 7 8 0 0 0 0\n",
		files: map[string]string{
			"cpu/cpu.cfs_quota_us":             "50000\n",
			"cpu/cpu.stat":                     "nr_periods 6324\nnr_throttled 2\nthrottled_time 42905659\n",
			"cpuacct/cpuacct.usage":            "3661981706\n",
			"cpuacct/cpuacct.stat":             "user 170\nsystem 195\n",
			"memory/memory.usage_in_bytes":     "131072\n",
			"memory/memory.max_usage_in_bytes": "22220800\n",
			"memory/memory.oom_control":        "oom_kill_disable 0\nunder_oom 0\noom_kill 1\n",
			"pids/pids.current":                "21\n",
		},
	}
}
