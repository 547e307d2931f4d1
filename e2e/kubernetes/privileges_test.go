package kubernetes

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// checkPrivileges: the process of the server has the privileges that the README of the chart lists, and no
// others, as the kernel sees it.
func checkPrivileges(n *node) {
	process := n.serverProcess()
	status := n.read(filepath.Join(process, "status"))
	const none = "0000000000000000"
	for field, want := range map[string]string{
		"Uid": "0 0 0 0", "Gid": "0 0 0 0", "NoNewPrivs": "1", "Seccomp": "2", // 2: filtered
		"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none,
	} {
		_, rest, ok := strings.Cut(status, "\n"+field+":")
		line, _, _ := strings.Cut(rest, "\n")
		if have := strings.Join(strings.Fields(line), " "); !ok || have != want {
			n.t.Errorf("%s of the server is %q, want %q", field, have, want)
		}
	}
	for _, namespace := range []string{"mnt", "net", "ipc", "uts"} {
		if n.namespace(process, namespace) == n.namespace("/proc/1", namespace) {
			n.t.Errorf("the server is in the node's %s namespace", namespace)
		}
	}
	if n.namespace(process, "pid") != n.namespace("/proc/1", "pid") {
		n.t.Error("the server is not in the node's pid namespace")
	}
	n.wantReadOnly(n.read(filepath.Join(process, "mountinfo")))
}

// wantReadOnly checks that the server can write to no mount but that of records, and what kubelet
// and the runtime make for every container.
func (n *node) wantReadOnly(mountinfo string) {
	const hierarchies = "/sys/fs/cgroup/"
	var below int
	for line := range strings.Lines(mountinfo) {
		fields := strings.Fields(line)
		place, options := fields[4], strings.Split(fields[5], ",")
		if strings.HasPrefix(place, hierarchies) {
			below++
		}
		own := place == "/etc/hosts" || place == filepath.Dir(recordsFile) || place == "/dev" || strings.HasPrefix(place, "/dev/") || strings.HasPrefix(place, "/proc")
		if !slices.Contains(options, "ro") && !own {
			n.t.Errorf("the server may write to %s: %s", place, line)
		}
	}
	entries, err := filepath.Glob(hierarchies + "*/tasks") // of cgroup v1: mounts of their own
	n.must(err)
	if len(entries) > 0 && below == 0 {
		n.t.Error("the server does not have the hierarchies of cgroup v1")
	}
}

// serverProcess returns the directory in /proc of the only server.
func (n *node) serverProcess() string {
	n.t.Helper()
	n.page() // there is one
	servers, err := n.servers()
	n.must(err)
	pid, err := readBody("http://" + servers[0].Status.PodIP + ":19640/runsc-metrics/pid")
	n.must(err)
	return fmt.Sprint("/proc/", strings.TrimSpace(string(pid)))
}

func (n *node) read(path string) string {
	n.t.Helper()
	text, err := os.ReadFile(path)
	n.must(err)
	return string(text)
}

// namespace returns the identity of a namespace of a process.
func (n *node) namespace(process, kind string) string {
	n.t.Helper()
	identity, err := os.Readlink(filepath.Join(process, "ns", kind))
	n.must(err)
	return identity
}
