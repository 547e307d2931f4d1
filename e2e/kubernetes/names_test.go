package kubernetes

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// shop is a pod of two containers, which the first checks look at, and one that ends before. Its user
// sends 3 MB to the bridge's address, where nothing listens.
var shop = workload{namespace: "shop", name: "web", containers: []container{
	{name: "setup", workload: "burn 300ms", memory: "128Mi", init: true},
	{name: "user", workload: "use 1s 60 3 3 10.88.0.1:9", memory: "256Mi"},
	{name: "idle", workload: "idle", memory: "128Mi"},
}}

// checkNames: all containers of a pod are one sandbox. Its ID is that of the pod's first container
// in containerd, which kubelet has no name for.
func checkNames(n *node) {
	n.create("shop", shop)
	web := n.untilReady("shop", "web")[0]
	id := n.untilUp("shop", "web")["web"]
	p := n.untilPage(func(p page) error {
		containers := p.labels("sandmeter_container_cpu_seconds_total", "container", "sandbox", id)
		for _, c := range shop.containers {
			if !c.init && !slices.Contains(containers, c.name) {
				return fmt.Errorf("containers with CPU time: %q, without %s", containers, c.name)
			}
		}
		return nil
	})
	if all := p.labels("sandmeter_sandbox_presence", "sandbox"); !slices.Equal(all, []string{id}) {
		n.t.Errorf("sandboxes are %q, want only %s", all, id)
	}
	for _, c := range web.Status.ContainerStatuses {
		containerID := strings.TrimPrefix(c.ContainerID, "containerd://")
		if found := p.find("sandmeter_container_cpu_seconds_total", "sandbox", id, "container", c.Name, "container_id", containerID); len(found) != 1 {
			n.t.Errorf("container %s with ID %s has %d series", c.Name, containerID, len(found))
		}
		if containerID == id {
			n.t.Errorf("container %s has the ID of the sandbox", c.Name)
		}
	}
	p.want(n.t, 256<<20, "sandmeter_container_limit_memory_bytes", "sandbox", id, "container", "user")
	p.want(n.t, 128<<20, "sandmeter_container_limit_memory_bytes", "sandbox", id, "container", "idle")
	pause, err := n.ctr("containers", "info", id)
	n.must(err)
	if !strings.Contains(pause, `"io.kubernetes.cri.container-type": "sandbox"`) {
		n.t.Errorf("the sandbox's ID is not that of a pod's first container: %s", pause)
	}
}

// podCgroup returns the directory of a pod's cgroup in the hierarchy that has the file.
func (n *node) podCgroup(p pod, file string) string {
	n.t.Helper()
	for _, class := range []string{"", "burstable", "besteffort"} {
		pattern := filepath.Join(hierarchies, "*", cgroupOf(n.dir), "kubepods", class, "pod"+p.Metadata.UID, file)
		if found, _ := filepath.Glob(pattern); len(found) > 0 {
			return filepath.Dir(found[0])
		}
	}
	n.t.Fatalf("pod %s has no cgroup with %s", p.Metadata.Name, file)
	return ""
}

// cgroupNumber returns the number in a file of a pod's cgroup.
func (n *node) cgroupNumber(p pod, file string) float64 {
	n.t.Helper()
	text, err := os.ReadFile(filepath.Join(n.podCgroup(p, file), file))
	n.must(err)
	number, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	n.must(err)
	return number
}

// A podStats is what kubelet's /stats/summary has about a pod.
type podStats struct {
	PodRef struct{ Name, Namespace string }
	CPU    struct{ UsageCoreNanoSeconds float64 }
	Memory struct{ UsageBytes float64 }
}

// summary returns what kubelet has about a pod.
func (n *node) summary(namespace, name string) (podStats, error) {
	var all struct{ Pods []podStats }
	text, err := readBody(fmt.Sprintf("http://127.0.0.1:%d/stats/summary", kubeletPort))
	if err == nil {
		err = json.Unmarshal(text, &all)
	}
	for _, p := range all.Pods {
		if p.PodRef.Namespace == namespace && p.PodRef.Name == name {
			return p, nil
		}
	}
	return podStats{}, fmt.Errorf("kubelet has no pod %s of %s: %v", name, namespace, err)
}

// checkUsage: the CPU time, the memory and the traffic of the sandbox are those of the pod. Kubelet
// reads the same cgroup, some seconds later.
func checkUsage(n *node) {
	n.create("shop", shop)
	web := n.untilReady("shop", "web")[0]
	id := n.untilUp("shop", "web")["web"]
	n.untilPage(func(p page) error {
		if opens, err := p.value("runsc_fs_opens_total", "sandbox", id); err != nil || opens < 1000 {
			return fmt.Errorf("the workload has not used all: it opened %v files (%v)", opens, err)
		}
		return nil
	})
	cpu, memory := n.cgroupNumber(web, "cpuacct.usage"), n.cgroupNumber(web, "memory.usage_in_bytes")
	p := n.page()
	laterCPU, laterMemory := n.cgroupNumber(web, "cpuacct.usage"), n.cgroupNumber(web, "memory.usage_in_bytes")
	n.wantBetween("CPU time", p, cpu/1e9, laterCPU/1e9, 0.001, "sandmeter_sandbox_cpu_seconds_total", "sandbox", id)
	n.wantBetween("memory", p, min(memory, laterMemory), max(memory, laterMemory), 0.05, "sandmeter_sandbox_memory_bytes", "sandbox", id)
	n.wantBetween("sent bytes", p, 3e6, 4e6, 0, "sandmeter_sandbox_network_transmit_bytes_total", "sandbox", id, "interface", "eth0")
	n.wantSplit(p, id)
	n.until(func() error {
		stats, err := n.summary("shop", "web")
		if err != nil {
			return err
		}
		now := n.page()
		own, err := now.value("sandmeter_sandbox_cpu_seconds_total", "sandbox", id)
		if kubelet := stats.CPU.UsageCoreNanoSeconds / 1e9; err != nil || kubelet < 0.9*own || kubelet > own {
			return fmt.Errorf("kubelet says %v s of CPU time, the server %v (%v)", kubelet, own, err)
		}
		used, err := now.value("sandmeter_sandbox_memory_bytes", "sandbox", id)
		if kubelet := stats.Memory.UsageBytes; err != nil || kubelet < 0.9*used || kubelet > 1.1*used {
			return fmt.Errorf("kubelet says %v bytes of memory, the server %v (%v)", kubelet, used, err)
		}
		return nil
	})
	n.until(n.kubeletHasPodsOnly)
}

// kubeletHasPodsOnly returns an error unless kubelet's own cAdvisor has a row of the pod with a value, and
// 0 or no row of its containers: the server's rows of containers count twice otherwise.
func (n *node) kubeletHasPodsOnly() error {
	p, err := readPage(fmt.Sprintf("http://127.0.0.1:%d/metrics/cadvisor", kubeletPort))
	if err != nil {
		return err
	}
	for _, family := range []string{"container_cpu_usage_seconds_total", "container_memory_working_set_bytes"} {
		sums := map[bool]float64{}
		for _, s := range p.find(family, "namespace", "shop", "pod", "web") {
			sums[s.labels["container"] != ""] += s.value
		}
		if pod, containers := sums[false], sums[true]; pod <= 0 || containers != 0 {
			return fmt.Errorf("kubelet has %s: %v of the pod, and %v of its containers", family, pod, containers)
		}
	}
	return nil
}

// wantBetween fails the test unless a series has a value between two others, give or take a part of
// them.
func (n *node) wantBetween(what string, p page, from, to, part float64, family string, labels ...string) {
	n.t.Helper()
	got, err := p.value(family, labels...)
	if err != nil || got < from*(1-part) || got > to*(1+part) {
		n.t.Errorf("the %s is %v, the host says %v to %v (%v)", what, got, from, to, err)
	}
}

// wantSplit fails the test unless the CPU time of a sandbox is that of its containers, the user's more
// than the idle one's. What setup used belongs to neither: it ended before it could be read.
func (n *node) wantSplit(p page, id string) {
	n.t.Helper()
	var sum float64
	for _, s := range p.find("sandmeter_container_cpu_seconds_total", "sandbox", id) {
		sum += s.value
	}
	n.wantBetween("CPU time of the sandbox", p, sum, sum, 1e-6, "sandmeter_sandbox_cpu_seconds_total", "sandbox", id)
	part := func(container string) float64 {
		value, err := p.value("sandmeter_container_cpu_seconds_total", "sandbox", id, "container", container)
		n.must(err)
		return value
	}
	if user, idle := part("user"), part("idle"); user < 2*idle {
		n.t.Errorf("container user used %v s, idle used %v", user, idle)
	}
}

// checkPlainPod: a pod that runc runs is on no page.
func checkPlainPod(n *node) {
	plain := idle("shop", "plain")
	plain.plain = true
	n.create("shop", shop, plain)
	n.untilReady("shop", "plain")
	n.untilUp("shop", "web")
	p := n.page()
	if pods := p.labels("sandmeter_sandbox_presence", "pod_name"); !slices.Equal(pods, []string{"web"}) {
		n.t.Errorf("the page has pods %q, want only web", pods)
	}
	for family := range p {
		if found := p.find(family, "pod", "plain"); len(found) > 0 {
			n.t.Errorf("%s has series of the pod: %v", family, found)
		}
	}
}

// checkHostNetwork: a pod in the network of the node has no network of its own to measure, and
// everything else. Its row has none, so that the traffic of the node counts as nobody's.
func checkHostNetwork(n *node) {
	inHost := idle("hosts", "node-agent")
	inHost.hostNetwork = true
	n.create("hosts", inHost)
	id := n.untilUp("hosts", "node-agent")["node-agent"]
	p := n.untilPage(func(p page) error {
		_, err := p.value("sandmeter_sandbox_memory_bytes", "sandbox", id)
		return err
	})
	if cpu, err := p.value("sandmeter_sandbox_cpu_seconds_total", "sandbox", id); err != nil || cpu <= 0 {
		n.t.Errorf("the CPU time is %v (%v)", cpu, err)
	}
	for family := range p {
		if !strings.Contains(family, "_network_") {
			continue
		}
		for _, labels := range [][]string{{"sandbox", id}, {"namespace", "hosts"}} {
			if found := p.find(family, labels...); len(found) > 0 {
				n.t.Errorf("%s of a pod in the network of the node: %v", family, found)
			}
		}
	}
	n.remove("hosts")
	n.untilRecorded("hosts", 1, "node-agent")
}
