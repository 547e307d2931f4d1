package kubernetes

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// An ending is a pod, and how its sandbox ends.
type ending struct {
	pod     workload
	outcome string // as in String of a record
}

// endings are the pods of one namespace. Containerd kills the sandbox of a pod whose containers have
// ended, so their exit codes are not the sandbox's.
func endings(namespace string) []ending {
	const killed = "failed status 137"
	with := func(name, args, memory string) workload {
		return workload{namespace: namespace, name: name, containers: []container{{name: "app", workload: args, memory: memory}}}
	}
	return []ending{
		{with("exits-0", "burn 50ms", ""), killed},
		{with("exits-3", "exit 3", ""), killed},
		{with("burns", "burn 500ms", ""), killed},
		{with("out-of-memory", "use 0s 400 0", "100Mi"), "oom_killed"}, // with a signal, unless the kernel killed a process of the application
	}
}

// checkEnds: each pod of a namespace ends in its way, and the totals are the sums of their records.
func checkEnds(n *node) {
	const namespace = "ends"
	var pods []workload
	var names []string
	outcomes := make(map[string]float64)
	for _, e := range endings(namespace) {
		pods, names = append(pods, e.pod), append(names, e.pod.name)
	}
	n.create(namespace, pods...)
	all := n.untilRecorded(namespace, 1, names...)
	var cpu float64
	for _, e := range endings(namespace) {
		r := all[e.pod.name][0]
		if r.String() != e.outcome && r.Outcome != e.outcome {
			n.t.Errorf("the record of %s has outcome %q, want %q", e.pod.name, r, e.outcome)
		}
		n.wantApp(r)
		outcomes[r.Outcome]++
		if r.CPU == nil {
			n.t.Errorf("the record of %s has no CPU time", e.pod.name)
			continue
		}
		cpu += *r.CPU
	}
	n.wantExitCodes(namespace, map[string]int{"exits-0": 0, "exits-3": 3, "burns": 0})
	p := n.page()
	p.want(n.t, float64(len(pods)), "sandmeter_sandboxes_started_total", "group", namespace)
	got := make(map[string]float64)
	for _, s := range p.find("sandmeter_sandboxes_ended_total", "group", namespace) {
		if s.value > 0 {
			got[s.labels["outcome"]] = s.value
		}
	}
	if !maps.Equal(got, outcomes) {
		n.t.Errorf("totals have outcomes %v, the records %v", got, outcomes)
	}
	if total, err := p.value("sandmeter_sandboxes_cpu_seconds_total", "group", namespace); err != nil || math.Abs(total-cpu) > 1e-6 {
		n.t.Errorf("the total of CPU time is %v, the records add up to %v (%v)", total, cpu, err)
	}
	for _, e := range endings(namespace) {
		if found := p.find("sandmeter_sandbox_outcome", "namespace_name", namespace, "pod_name", e.pod.name, "outcome", all[e.pod.name][0].Outcome); len(found) != 1 {
			n.t.Errorf("the page has %d outcomes of %s", len(found), e.pod.name)
		}
	}
	n.remove(namespace)
}

// wantApp fails the test unless a record has the pod's only container with its image and CPU time,
// although containerd deleted it before the sandbox ended, and maybe before any scrape.
func (n *node) wantApp(r record) {
	n.t.Helper()
	i := slices.IndexFunc(r.Containers, func(c recordedContainer) bool { return c.Name == "app" })
	if i < 0 {
		n.t.Errorf("the record of %s has containers %+v, without the app", r.Pod, r.Containers)
		return
	}
	if app := r.Containers[i]; app.Image != workloadImage || r.CPU != nil && app.CPU < *r.CPU/2 {
		n.t.Errorf("the record of %s has CPU time %v, and the app %+v", r.Pod, *r.CPU, app)
	}
}

// wantExitCodes fails the test unless kubelet has the exit codes of the pods' workloads.
func (n *node) wantExitCodes(namespace string, codes map[string]int) {
	n.t.Helper()
	n.until(func() error {
		for name, code := range codes {
			p, err := n.pod(namespace, name)
			if err != nil {
				return err
			}
			for _, c := range p.Status.ContainerStatuses {
				if c.State.Terminated == nil || c.State.Terminated.ExitCode != code {
					return fmt.Errorf("kubelet says of %s: %+v", name, c)
				}
			}
		}
		return nil
	})
}
