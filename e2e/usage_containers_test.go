package e2e

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/runsc"
)

// These tests compare the CPU time of containers with what they are known to have used, and check that
// it never falls. Sandboxes have cgroups of their own.

const containerCPU = "sandmeter_container_cpu_seconds_total"

// A watch scrapes a server, and remembers the CPU time of containers.
type watch struct {
	*world
	last map[string]float64 // by container ID; "" is no container
}

func (w *world) watch() *watch { return &watch{world: w, last: make(map[string]float64)} }

// look scrapes, and checks that no counter has fallen, and that the containers of a sandbox have the
// CPU time of the sandbox.
func (w *watch) look(id string) page {
	w.t.Helper()
	p := w.scrape()
	sum := 0.0
	samples := p.find(containerCPU, "sandbox", id)
	for _, s := range samples {
		key := id + "/" + s.labels["container_id"]
		if s.value < w.last[key] {
			w.t.Errorf("the CPU time of %s fell from %v to %v", key, w.last[key], s.value)
		}
		w.last[key] = s.value
		sum += s.value
	}
	if cpu := p.usageOf(w.t, id, "sandmeter_sandbox_cpu_seconds_total"); len(samples) == 0 || math.Abs(sum-cpu) > 1e-6 {
		w.t.Errorf("%d containers of %s have %v s, the sandbox has %v", len(samples), id, sum, cpu)
	}
	return p
}

// lookUntil looks ten times per second until a number of workloads have used all, which they show by
// opening files.
func (w *watch) lookUntil(id string, workloads int) {
	w.t.Helper()
	for end := time.Now().Add(2 * ample); ; time.Sleep(100 * time.Millisecond) {
		opens, _ := w.look(id).value("runsc_fs_opens", "sandbox", id)
		switch {
		case int(opens) >= workloads*1000:
			return
		case time.Now().After(end):
			w.t.Fatalf("the workloads of %s opened %v files, want those of %d", id, opens, workloads)
		}
	}
}

// of returns the CPU time of a container of a sandbox, in seconds.
func (w *watch) of(id, container string) float64 { return w.last[id+"/"+container] }

// wantShare checks a container's part of the sandbox's CPU time, to five percentage points.
func (w *watch) wantShare(id, container string, seconds float64) {
	w.t.Helper()
	all := cpuOf(w.t, id)
	got, want := 100*w.of(id, container)/all, 100*seconds/all
	w.t.Logf("%s has %.1f %% of %.2f s, and burnt %.1f %%", container, got, all, want)
	if math.Abs(got-want) > 5 {
		w.t.Errorf("%s has %.1f %% of the CPU time, want %.1f %%; all: %v", container, got, want, w.last)
	}
}

// startPod starts a pod with cgroup, whose root container idles. add adds a container that runs a
// workload.
func (w *world) startPod(id string) (add func(name string, workload ...string) (container string)) {
	w.t.Helper()
	run := w.pod(runsc.Pod{Sandbox: id, Name: "web-1", Namespace: "shop"})
	run(id, func(c *runsc.Container) { c.Cgroup = true })
	return func(name string, workload ...string) string {
		w.t.Helper()
		run(id+"-"+name, func(c *runsc.Container) {
			c.Cgroup = true
			c.Args = append([]string{"workload"}, workload...)
			c.Annotations["io.kubernetes.cri.container-name"] = name
		})
		return id + "-" + name
	}
}

// TestContainerCPU: containers of a pod have the CPU time that they used. Two containers do the same at
// the same time, on a core each, until one of them is done. So while both work, each uses half of what
// the kernel says that the sandbox does, however busy the machine is, and before and after that one
// uses it all.
func TestContainerCPU(t *testing.T) {
	w, id := newWorld(t).watch(), usageID("split")
	s := w.startServer(w.serveArgs())
	add := w.startPod(id)
	start := cpuOf(t, id)
	app := add("app", "use", "9s", "1", "0")
	side := add("side", "use", "3s", "1", "0")
	both := -cpuOf(t, id)
	w.lookUntil(id, 1)
	both += cpuOf(t, id)
	w.lookUntil(id, 2)
	w.look(id)
	if all := cpuOf(t, id); all < 5 {
		t.Errorf("the pod used %v s, which is too little for a verdict", all)
	}
	w.wantShare(id, side, both/2)
	w.wantShare(id, app, cpuOf(t, id)-start-both/2)
	w.wantShare(id, id, 0)
	w.wantShare(id, "", 0)

	p := w.look(id)
	p.usageOf(t, id, containerCPU, "container", "app", "container_id", app, "pod_name", "web-1")
	p.wantNone(t, "sandmeter_sandbox_usage_absent")
	if strings.Contains(s.err.String(), "usage") {
		t.Errorf("the log says\n%s", &s.err)
	}
}

// TestContainerCPUNeverFalls: the figures that runsc reports fall when a process of exec ends, when
// the children of a process that ignores SIGCHLD do, and when a container ends. Nothing on the page
// falls, and the sum stays the sandbox's.
func TestContainerCPUNeverFalls(t *testing.T) {
	w, id := newWorld(t).watch(), usageID("falls")
	s := w.startServer(w.serveArgs())
	add := w.startPod(id)
	spawns := add("spawns", "spawn", "6", "300ms")
	w.lookUntil(id, 1)
	done := make(chan error, 1)
	go func() { done <- w.node.Exec(w.ctx(), spawns, "workload", "burn", "2s") }()
	for running := true; running; time.Sleep(100 * time.Millisecond) {
		w.look(id)
		select {
		case err := <-done:
			w.must(err)
			running = false
		default:
		}
	}
	if got := w.of(id, spawns); got <= 0 {
		t.Errorf("%s has %v s", spawns, got)
	}
	ends := add("ends", "use", "2s", "1", "0")
	w.lookUntil(id, 2)
	before := w.of(id, ends)
	w.must(w.node.Kill(w.ctx(), ends, unix.SIGKILL))
	for range 3 {
		w.look(id)
	}
	w.remove(ends)
	if p := w.look(id); before <= 0 || p.usageOf(t, id, containerCPU, "container_id", ends, "container", "ends") < before {
		t.Errorf("the container that ended had %v s, and has %v", before, w.of(id, ends))
	}
	w.look(id)
	t.Logf("%v", w.last)
	if strings.Contains(s.err.String(), "usage") {
		t.Errorf("the log says\n%s", &s.err)
	}
	w.remove(spawns, id)
}

// TestUsageDetail: where cgroups are mounted in the containers of a pod, as containerd does, the sandbox
// knows the memory of each. The network stack of the sandbox and its interface on the host count the same
// bytes.
func TestUsageDetail(t *testing.T) {
	w, id := newWorld(t).watch(), usageID("detail")
	w.startServer(w.serveArgs("--usage=own,detail"))
	network := startNetwork(t)
	run := w.pod(runsc.Pod{Sandbox: id})
	run(id, func(c *runsc.Container) { c.Cgroup, c.Network = true, network })
	w.look(id) // the figures from which both sides count
	for name, workload := range map[string][]string{
		"large": {"use", "10ms", "100", "20", "20", "10.77.0.1:9"},
		"small": {"use", "10ms", "1", "0"},
	} {
		run(id+"-"+name, func(c *runsc.Container) {
			c.Cgroup, c.Network, c.CgroupMount = true, network, true
			c.Args = append([]string{"workload"}, workload...)
		})
	}
	w.lookUntil(id, 2)
	// The sandbox counts its memory at intervals.
	w.until(func() error {
		p := w.look(id)
		memoryOf := func(container string) float64 {
			return p.usageOf(t, id, "sandmeter_container_memory_bytes", "container_id", container, "split", "none")
		}
		root, large, small := memoryOf(id), memoryOf(id+"-large"), memoryOf(id+"-small")
		processes := p.usageOf(t, id, "sandmeter_container_processes", "container_id", id+"-large")
		difference, known := p.value("sandmeter_sandbox_claim_difference_ratio", "sandbox", id, "of", "network_transmit")
		if root != 0 || large < 100e6 || small <= 0 || small > 50e6 || processes < 21 || !known || math.Abs(difference) > 0.01 {
			return fmt.Errorf("the root container has %v bytes, the large one %v and %v processes, the small one %v; the traffic differs by %v (known: %t)",
				root, large, processes, small, difference, known)
		}
		return nil
	})
}
