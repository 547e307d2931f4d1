package e2e

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/runsc/runsctest"
)

// These tests compare what the server measures with what the kernel says to the test, before and
// after. Sandboxes have cgroups of their own at the top of the hierarchies, of either version.

// hierarchyOf returns the directory of a sandbox's cgroup that has the file, or "".
func hierarchyOf(id, file string) string {
	for _, parent := range []string{"/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/cpu,cpuacct", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/pids", "/sys/fs/cgroup"} {
		dir := filepath.Join(parent, id)
		if _, err := os.Stat(filepath.Join(dir, file)); err == nil {
			return dir
		}
	}
	return ""
}

// readCgroup returns a number of a sandbox's cgroup: from the file of cgroup v1, or of v2 with a
// key, where the unit is smaller by the factor.
func readCgroup(t *testing.T, id, v1, v2, key string, factor float64) float64 {
	t.Helper()
	if dir := hierarchyOf(id, v1); dir != "" {
		return readNumber(t, filepath.Join(dir, v1), "")
	}
	return factor * readNumber(t, filepath.Join(hierarchyOf(id, v2), v2), key)
}

func readNumber(t *testing.T, path, key string) float64 {
	t.Helper()
	n, err := numberIn(path, key)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// numberIn returns the number after a key at the beginning of a line, up to the next blank.
func numberIn(path, key string) (float64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), key); ok {
			text, _, _ = strings.Cut(strings.TrimSpace(text), " ") // a timestamp may follow
			return strconv.ParseFloat(text, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %q", path, key)
}

// cpuOf returns the CPU time of a sandbox's cgroup in seconds.
func cpuOf(t *testing.T, id string) float64 {
	t.Helper()
	return readCgroup(t, id, "cpuacct.usage", "cpu.stat", "usage_usec ", 1000) / 1e9
}

// memoryOf returns the memory of a sandbox's cgroup in bytes.
func memoryOf(t *testing.T, id string) float64 {
	t.Helper()
	return readCgroup(t, id, "memory.usage_in_bytes", "memory.current", "", 1)
}

// sentBy returns the bytes that the interface eth0 of a process's network namespace has sent.
func sentBy(t *testing.T, pid int) float64 {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/dev", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if counters, ok := strings.CutPrefix(strings.TrimSpace(line), "eth0:"); ok {
			n, err := strconv.ParseFloat(strings.Fields(counters)[8], 64)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("no eth0 in\n%s", data)
	return 0
}

// startNetwork makes two network namespaces with a link between them, and returns the path of one
// with an interface eth0 at 10.77.0.2. The other is at 10.77.0.1.
func startNetwork(t *testing.T) (path string) {
	t.Helper()
	ip, err := exec.LookPath("ip")
	if err != nil {
		runsctest.Unavailable(t, fmt.Errorf("no network for a sandbox: %w", err))
	}
	ours, theirs := startNamespace(t), startNamespace(t)
	in := func(pid int, args ...string) {
		t.Helper()
		words := append([]string{"--target", strconv.Itoa(pid), "--net", ip}, args...)
		if out, err := exec.Command("nsenter", words...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
	in(ours, "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", strconv.Itoa(theirs))
	for pid, address := range map[int]string{ours: "10.77.0.2/24", theirs: "10.77.0.1/24"} {
		in(pid, "addr", "add", address, "dev", "eth0")
		in(pid, "link", "set", "eth0", "up")
	}
	return fmt.Sprintf("/proc/%d/ns/net", ours)
}

// startNamespace starts a process in a new network namespace, which ends with it.
func startNamespace(t *testing.T) (pid int) {
	t.Helper()
	holder := exec.Command("sleep", "infinity")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: unix.SIGKILL}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
	})
	return holder.Process.Pid
}

// usageID returns an ID that no other run of the tests has at the same time.
func usageID(name string) string { return fmt.Sprintf("e2e-%d-%s", os.Getpid(), name) }

// untilUsed waits until the workload use of a sandbox has used all.
func (w *world) untilUsed(id string) {
	w.t.Helper()
	const useDone = 1000 // as in sandlab
	w.until(func() error {
		if opens, _ := w.scrape().value("runsc_fs_opens", "sandbox", id); opens < useDone {
			return errNot("the workload has used all")
		}
		return nil
	})
}

// usageOf returns the value of a family for a sandbox, which has to have exactly one.
func (p page) usageOf(t *testing.T, id, metric string, labels ...string) float64 {
	t.Helper()
	value, ok := p.value(metric, append(labels, "sandbox", id)...)
	if !ok {
		t.Errorf("no %s%q", metric, labels)
	}
	return value
}

// wantUsage fails the test unless a value is in the range from the lower to the higher number, give
// or take 3 %.
func wantUsage(t *testing.T, what string, got, a, b float64) {
	t.Helper()
	if lo, hi := min(a, b)*0.97, max(a, b)*1.03; got < lo || got > hi {
		t.Errorf("%s is %v, want %v to %v", what, got, lo, hi)
	}
}

// TestUsage: pressure comes from cgroup v2, beside the figures of cgroup v1 in a hybrid setup.
func TestUsage(t *testing.T) {
	id := usageID("own")
	pressed := makePressed(t, id) // is removed after the sandbox
	w := newWorld(t)
	c := w.container(id, "use", "1s", "200", "50", "20", "10.77.0.1:9")
	c.Cgroup, c.Network, c.MemoryLimit = true, startNetwork(t), 1<<30
	c.Annotations = map[string]string{"io.kubernetes.cri.container-name": "app"}
	w.must(w.node.Run(w.ctx(), c))
	pid := w.pid(id)
	w.press(id, pressed)
	w.startServer(w.serveArgs("--usage=own,cadvisor"))
	w.untilUsed(id)

	cpu, memory, sent := cpuOf(t, id), memoryOf(t, id), sentBy(t, pid)
	p := w.scrape()
	used := p.usageOf(t, id, "sandmeter_sandbox_cpu_seconds_total")
	wantUsage(t, "the CPU time", used, cpu, cpuOf(t, id))
	modes := p.usageOf(t, id, "sandmeter_sandbox_cpu_mode_seconds_total", "mode", "user") +
		p.usageOf(t, id, "sandmeter_sandbox_cpu_mode_seconds_total", "mode", "system")
	wantUsage(t, "the CPU time of both modes", modes, used-0.1, used+0.1) // the kernel counts them in ticks
	now := p.usageOf(t, id, "sandmeter_sandbox_memory_bytes")
	wantUsage(t, "the memory", now, memory, memoryOf(t, id))
	peak := p.usageOf(t, id, "sandmeter_sandbox_memory_peak_bytes")
	if now < 200e6 || peak < now*0.97 || peak > 1<<30 {
		t.Errorf("the memory is %v, its peak %v", now, peak)
	}
	if threads := p.usageOf(t, id, "sandmeter_sandbox_threads"); threads < 51 {
		t.Errorf("%v threads, want those of 51 processes", threads)
	}
	traffic := p.usageOf(t, id, "sandmeter_sandbox_network_transmit_bytes_total", "interface", "eth0")
	wantUsage(t, "the traffic", traffic, sent, sentBy(t, pid))
	if traffic < 20e6 {
		t.Errorf("the traffic is %v, want 20 MB", traffic)
	}
	p.wantValue(t, 0, "sandmeter_sandbox_oom_kills_total", "sandbox", id)
	p.wantValue(t, 1<<30, "sandmeter_container_limit_memory_bytes", "sandbox", id, "container", "app", "container_id", id)
	for family, want := range map[string]float64{"cpu_usage_seconds_total": used, "memory_usage_bytes": now, "memory_working_set_bytes": now, "oom_events_total": 0, "spec_memory_limit_bytes": 1 << 30} {
		p.wantValue(t, want, "container_"+family, "id", "/"+id, "name", id, "container", "app", "pod", "")
	}
	p.wantValue(t, traffic, "container_network_transmit_bytes_total", "name", id, "interface", "eth0")
	for _, absent := range []string{"sandmeter_sandbox_usage_absent", "sandmeter_sentry_cpu_seconds_total", "sandmeter_sentry_memory_bytes"} {
		p.wantNone(t, absent, "sandbox", id)
	}
	if pressed == "" {
		pressed = hierarchyOf(id, "cpu.pressure")
	}
	for _, resource := range []string{"cpu", "io", "memory"} {
		path := filepath.Join(pressed, resource+".pressure")
		before := pressureIn(t, path)
		got := w.scrape().usageOf(t, id, "sandmeter_sandbox_pressure_seconds_total", "resource", resource, "kind", "some")
		if after := pressureIn(t, path); got < before || got > after {
			t.Errorf("pressure on %s is %v, want %v to %v", resource, got, before, after)
		}
	}
	w.remove(id)
	if dir := hierarchyOf(id, "cgroup.procs"); dir != "" {
		t.Errorf("%s is left, although the server holds only files", dir)
	}
}

// makePressed makes a cgroup v2 for a sandbox whose other cgroups are v1, and returns its path. Where there is only cgroup v2, the sandbox has one anyway.
func makePressed(t *testing.T, id string) string {
	t.Helper()
	unified := filepath.Join("/sys/fs/cgroup/unified", id)
	if !exists(filepath.Dir(unified)) {
		return ""
	}
	if err := os.Mkdir(unified, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.Remove(unified); err != nil {
			t.Error(err)
		}
	})
	return unified
}

// press moves the processes of a sandbox to the cgroup that makePressed made.
func (w *world) press(id, pressed string) {
	w.t.Helper()
	if pressed == "" {
		return
	}
	for _, word := range strings.Fields(string(must(os.ReadFile(filepath.Join(hierarchyOf(id, "cgroup.procs"), "cgroup.procs")))(w.t))) {
		err := os.WriteFile(filepath.Join(pressed, "cgroup.procs"), []byte(word), 0)
		if err != nil && !errors.Is(err, unix.ESRCH) { // the process has ended
			w.t.Fatal(err)
		}
	}
}

// pressureIn returns the total time in seconds of the line "some" of a pressure file.
func pressureIn(t *testing.T, path string) float64 {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	some, _, _ := strings.Cut(string(data), "\n")
	_, total, _ := strings.Cut(some, "total=")
	return must(strconv.ParseFloat(total, 64))(t) / 1e6
}

// TestUsageWithoutCgroup: without a cgroup of its own, a sandbox has the figures of its sentry, and
// never those of the cgroup that it shares with the test.
func TestUsageWithoutCgroup(t *testing.T) {
	w := newWorld(t)
	w.start("a", "use", "100ms", "200", "5")
	c := w.container("host", "idle")
	c.Flags = []string{"--network=host"}
	w.must(w.node.Run(w.ctx(), c))
	w.startServer(w.serveArgs())
	w.untilUsed("a")
	p := w.scrape()
	if memory := p.usageOf(t, "a", "sandmeter_sentry_memory_bytes"); memory < 200e6 || memory > 400e6 {
		t.Errorf("the sentry's memory is %v, want 200 MB and its own", memory)
	}
	if cpu := p.usageOf(t, "a", "sandmeter_sentry_cpu_seconds_total"); cpu <= 0 {
		t.Errorf("the sentry's CPU time is %v", cpu)
	}
	for _, family := range []string{"cpu_seconds_total", "cpu_mode_seconds_total", "memory_bytes", "memory_peak_bytes", "threads", "oom_kills_total"} {
		p.wantNone(t, "sandmeter_sandbox_"+family)
	}
	p.wantNone(t, "sandmeter_sandbox_network_receive_bytes_total")
	p.wantValue(t, 1, "sandmeter_sandbox_usage_absent", "sandbox", "a", "reason", "cgroup_not_own")
	p.wantValue(t, 1, "sandmeter_sandbox_usage_absent", "sandbox", "host", "reason", "network_shared")
	p.wantNone(t, "sandmeter_sandbox_usage_absent", "sandbox", "a", "reason", "network_shared")
}

// must returns a function that returns the value, or ends the test if there is an error.
func must[T any](value T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}
