package api

import (
	"fmt"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A Target is a target in the format of Prometheus HTTP service discovery.
type Target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// Each target has its own instance label, because Prometheus keeps one up series per job and
// instance.
const labelInstance = "instance"

// TargetsOf returns one target per running sandbox ID of a snapshot. Sandboxes without series have
// no target. All targets have the same address. The scrape parameter sandbox of each target selects its sandbox.
func TargetsOf(snap *snapshot.Snapshot, address string) []Target {
	targets := []Target{} // not nil, because JSON null is not a list of targets
	last := ""
	for i := range snap.Sandboxes {
		s := &snap.Sandboxes[i]
		id := s.Labels.Sandbox
		// Equal IDs from several roots are adjacent, and one target selects all of them.
		if !s.Running() || s.Hidden != snapshot.Shown || id == last {
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

// ShardsOf returns n targets, one per shard of the sandboxes.
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
