package api

import (
	"fmt"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A Target is a target in the format of Prometheus's HTTP service discovery.
type Target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// Each target has an instance of its own, since Prometheus keeps one series up per job and instance.
const labelInstance = "instance"

// TargetsOf returns a target for each sandbox of a snapshot that runs. All are at the address, and the parameter sandbox of their scrapes selects
// the sandbox.
func TargetsOf(snap *snapshot.Snapshot, address string) []Target {
	targets := []Target{} // JSON's null is no list of targets
	last := ""
	for i := range snap.Sandboxes {
		s := &snap.Sandboxes[i]
		id := s.Labels.Sandbox
		if !s.Running || id == last { // equal IDs, in several roots, stand next to each other and are selected together
			continue
		}
		last = id
		targets = append(targets, Target{[]string{address}, map[string]string{
			labelInstance:                address + "/" + id,
			"__param_sandbox":            id,
			"__meta_sandmeter_sandbox":   id,
			"__meta_sandmeter_pod":       s.Labels.Pod,
			"__meta_sandmeter_namespace": s.Labels.Namespace,
		}})
	}
	return targets
}

// ShardsOf returns a target for each of n parts of the sandboxes.
func ShardsOf(address string, n int) []Target {
	targets := make([]Target, n)
	for i := range targets {
		targets[i] = Target{[]string{address}, map[string]string{
			labelInstance:            fmt.Sprintf("%s/%d", address, i),
			"__param_shard":          fmt.Sprintf("%d/%d", i, n),
			"__meta_sandmeter_shard": fmt.Sprint(i),
		}}
	}
	return targets
}
