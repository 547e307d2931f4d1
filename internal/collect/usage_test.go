package collect

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A hostTree is a directory tree like a host's, with the files that are read about sandboxes. All
// simulated sandboxes run in this process.
type hostTree struct {
	*node
	dir string
}

// newMeasuredNode returns a node whose collector measures by a tree. There, the cgroup of this
// process is that of sandbox "a".
func newMeasuredNode(t *testing.T, change func(*Options)) *hostTree {
	t.Helper()
	h := &hostTree{dir: t.TempDir()}
	h.addProcess(t, os.Getpid(), "a")
	pid := strconv.Itoa(os.Getpid())
	for path, content := range map[string]string{
		"proc/pressure/cpu":                  "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 total=0\n",
		"proc/self/mountinfo":                "35 23 0:29 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
		"proc/" + pid + "/net/dev":           "head\nhead\n lo: 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9\neth0: 1 2 3 4 0 0 0 0 5 6 7 8 0 0 0 0\n",
		"sys/fs/cgroup/a/cpu.stat":           "usage_usec 1500000\nuser_usec 1250000\nsystem_usec 250000\nthrottled_usec 125000\n",
		"sys/fs/cgroup/a/memory.current":     "4096\n",
		"sys/fs/cgroup/a/memory.peak":        "8192\n",
		"sys/fs/cgroup/a/memory.events":      "oom 1\noom_kill 2\n",
		"sys/fs/cgroup/a/pids.current":       "21\n",
		"sys/fs/cgroup/a/cpu.pressure":       "some avg10=0.00 total=500000\nfull avg10=0.00 total=0\n",
		"sys/fs/cgroup/a/memory.pressure":    "some avg10=0.00 total=250000\nfull avg10=0.00 total=125000\n",
		"sys/fs/cgroup/foreign/cgroup.procs": "1\n",
	} {
		h.write(t, path, content)
	}
	h.node = newNode(t, func(o *Options) {
		o.Usage, o.HostRoot = true, h.dir
		if change != nil {
			change(o)
		}
	})
	return h
}

// addProcess adds a process in a cgroup and a network namespace of its own.
func (h *hostTree) addProcess(t *testing.T, pid int, cgroup string) {
	t.Helper()
	proc := "proc/" + strconv.Itoa(pid)
	h.write(t, proc+"/cgroup", "0::/"+cgroup+"\n")
	h.write(t, "sys/fs/cgroup/"+cgroup+"/cgroup.procs", strconv.Itoa(pid)+"\n")
	link := filepath.Join(h.dir, proc, "ns", "net")
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("net:[4026532256]", link); err != nil {
		t.Fatal(err)
	}
}

func (h *hostTree) write(t *testing.T, path, content string) {
	t.Helper()
	path = filepath.Join(h.dir, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// usageOn returns the samples about a sandbox's usage on a page, without the labels of the sandbox.
func usageOn(page, sandbox string) map[string]string {
	samples := make(map[string]string)
	for _, line := range series(page, "sandmeter_") {
		name, rest, _ := strings.Cut(line, "{")
		if !slices.ContainsFunc(families.Usage.Metrics, func(m schema.Metric) bool { return m.Name == name }) {
			continue
		}
		labels, value, _ := strings.Cut(rest, "} ")
		var others []string
		ours := false
		for _, l := range strings.Split(labels, ",") {
			if l == `sandbox="`+sandbox+`"` {
				ours = true
			} else {
				others = append(others, l)
			}
		}
		if ours {
			samples[name+"{"+strings.Join(others, ",")+"}"] = value
		}
	}
	return samples
}

// measured is a sandbox with two containers, the second of which has limits and a name.
func measured(id string) simulate.Spec {
	created := time.Unix(1_800_000_000, 250_000_000).UTC()
	return simulate.Spec{
		ID:   id,
		Root: simulate.Container{CreatedAt: created},
		More: []simulate.Container{{ID: "b", CreatedAt: created.Add(750 * time.Millisecond), Annotations: map[string]string{"io.kubernetes.cri.container-name": "app"}}},
		EditState: func(container string, state []byte) []byte {
			if container != "b" {
				return state
			}
			const limits = `"linux":{"resources":{"cpu":{"quota":50000,"period":100000},"memory":{"limit":209715200}},`
			return []byte(strings.Replace(string(state), `"linux":{`, limits, 1))
		},
	}
}

// expectUsage checks samples about a sandbox's usage on a page, without the prefix sandmeter_. An empty value
// means that there is none.
func expectUsage(t *testing.T, page, sandbox string, want map[string]string) {
	t.Helper()
	got := usageOn(page, sandbox)
	for name, value := range want {
		if got["sandmeter_"+name] != value {
			t.Errorf("%s is %q, want %q", name, got["sandmeter_"+name], value)
		}
	}
}

// TestUsageFails: a sandbox without metrics is measured all the same, and one that has ended has its
// counters.
func TestUsageFails(t *testing.T) {
	h := newMeasuredNode(t, nil)
	s := h.start(measured("a"))
	h.look()
	h.must(os.Remove(s.SocketPath()))
	expectUsage(t, h.page(), "a", map[string]string{
		`sandbox_usage_absent{reason="event_failed"}`: "1",
		`sandbox_cpu_seconds_total{}`:                 "1.5",
		`sandbox_memory_bytes{}`:                      "4096",
	})
	h.update(s, func(spec *simulate.Spec) { spec.PID = -1 })
	expectUsage(t, h.page(), "a", map[string]string{
		`sandbox_cpu_seconds_total{}`:                                   "1.5",
		`sandbox_memory_bytes{}`:                                        "",
		`sandbox_memory_peak_bytes{}`:                                   "",
		`container_cpu_seconds_total{container="app",container_id="b"}`: "1.5", // all of it is the pod's only container's
		`container_cpu_seconds_total{container="",container_id=""}`:     "0",
	})
}

// TestUsageContainers: the cgroup is tested again when the containers change.
func TestUsageContainers(t *testing.T) {
	h := newMeasuredNode(t, nil)
	s := h.start(measured("a"))
	h.page()
	h.write(t, "sys/fs/cgroup/a/cgroup.procs", "1\n")
	h.update(s, func(spec *simulate.Spec) { spec.More = spec.More[:0] })
	expectUsage(t, h.page(), "a", map[string]string{
		`sandbox_usage_absent{reason="cgroup_shared"}`:                   "1",
		`sandbox_cpu_seconds_total{}`:                                    "",
		`container_start_time_seconds{container="app",container_id="b"}`: "",
	})
}

// TestLongNames: names that are too long for labels count as none.
func TestLongNames(t *testing.T) {
	n := newNode(t, nil)
	n.start(simulate.Spec{ID: "p", Root: simulate.Container{Annotations: map[string]string{
		"io.kubernetes.cri.container-name": strings.Repeat("x", maxName+1), "io.kubernetes.cri.image-name": strings.Repeat("x", maxPath+1)}}})
	if c := n.collect().Sandboxes[0].Containers[0]; c.Name != "" || c.Image != "" {
		t.Errorf("the container is %+v", c)
	}
}

// TestUsageOfSelected: a collection measures the sandboxes that it selects only.
func TestUsageOfSelected(t *testing.T) {
	h := newMeasuredNode(t, nil)
	h.start(measured("a"))
	h.start(simulate.Spec{ID: "other"})
	h.collectOf("other")
	if h.life("a").isMeasured() || !h.life("other").isMeasured() {
		t.Errorf("measured: %t, and of those selected: %t", h.life("a").isMeasured(), h.life("other").isMeasured())
	}
}

// TestUsageOutOfTime: sandboxes that a collection has no time to measure are measured first in the
// next one.
func TestUsageOutOfTime(t *testing.T) {
	h := newMeasuredNode(t, nil)
	const sandboxes = 4
	for i := range sandboxes {
		h.start(simulate.Spec{ID: fmt.Sprint("s", i)})
	}
	// Each look at the clock takes a part of the time for measuring, so that there is time for two
	// sandboxes.
	clock := time.Now()
	h.clock.set(func() time.Time {
		clock = clock.Add(MaxDuration / 10)
		return clock
	})
	late := func() (late []string) {
		snap := h.collect()
		for _, s := range snap.Sandboxes {
			if slices.Contains(s.Usage.Unknown, fact.OutOfTime) {
				late = append(late, s.Labels.Sandbox)
			}
		}
		return late
	}
	first, second := late(), late()
	if len(first) != 2 || len(second) != 2 || slices.Equal(first, second) {
		t.Errorf("not measured were %v, then %v", first, second)
	}
}

// TestUsageOfCut: a cut has the usage of its collection.
func TestUsageOfCut(t *testing.T) {
	h := newMeasuredNode(t, nil)
	spec := measured("a")
	spec.Behavior = simulate.Stall
	h.start(spec)
	var cut *snapshot.Snapshot
	now := time.Now()
	plan := Plan{Deadline: now.Add(time.Minute), Cuts: []time.Time{now}, OnCut: func(_ int, s *snapshot.Snapshot) {
		cut = s
		h.collector.Stop() // there is no reply to wait for
	}}
	h.collectPlan(plan)
	expectUsage(t, text(cut), "a", map[string]string{`sandbox_cpu_seconds_total{}`: "1.5", `sandbox_usage_absent{reason="event_failed"}`: "1"})
}
