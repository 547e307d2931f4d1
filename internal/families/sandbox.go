package families

import (
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A sandbox has the facts about a sandbox, and label sets for them.
type sandbox struct {
	*snapshot.Sandbox
	labels *lifeLabels
}

// Capabilities is the name of the family with the capabilities of sandboxes.
const Capabilities = "meta_sandbox_capabilities"

// sandboxTable has the families about the state of a sandbox. Those that gVisor's metric server has too
// have its HELP texts, byte for byte. Capabilities, creation time, metadata and spec are present only
// together with the sandbox's metrics.
var sandboxTable = newTable(false, []row[sandbox]{
	{schema.Metric{Name: Capabilities, Help: "Linux capabilities added within containers of the sandbox.", SetLabels: []string{"capability"}},
		allPages, func(a *adder, s sandbox) {
			if s.HasMetrics() {
				for _, set := range s.labels.capabilities {
					a.one(set)
				}
			}
		}},
	{schema.Metric{Name: "meta_sandbox_checkpointed", Help: "Boolean metric set to 1 for each checkpointed sandbox."},
		allPages, func(a *adder, s sandbox) { a.truth(s.Checkpointed) }},
	{schema.Metric{Name: "meta_sandbox_cpu_time_saved_milliseconds", Help: "CPU time saved for each restored sandbox (in milliseconds).", Unit: schema.Milliseconds},
		allPages, func(a *adder, s sandbox) { a.count(s.CPUSaved.Milliseconds()) }},
	{schema.Metric{Name: "meta_sandbox_creation_time_seconds", Help: "When the sandbox was created, as a unix timestamp in seconds.", Float: true},
		allPages, func(a *adder, s sandbox) {
			if s.HasMetrics() {
				a.at(s.CreatedAt, nil)
			}
		}},
	{schema.Metric{Name: "meta_sandbox_failure", Help: "Reason why a running sandbox has no metrics, with value 1.", SetLabels: []string{"reason"}},
		allPages, func(a *adder, s sandbox) {
			if s.Failure != nil {
				a.one(labeled("reason", string(s.Failure.Reason)))
			}
		}},
	{schema.Metric{Name: "meta_sandbox_metadata", Help: "Key-value pairs about per-sandbox metadata.", SetLabels: []string{"version", "platform", "network", "numcores", "coretags", "overlay", "fsmode", "cpuarch", "go", "experiment"}},
		allPages, func(a *adder, s sandbox) {
			if s.HasMetrics() && s.labels.metadata != nil {
				a.one(s.labels.metadata)
			}
		}},
	{schema.Metric{Name: "meta_sandbox_presence", Help: "Boolean metric set to 1 for each known sandbox."},
		allPages, func(a *adder, _ sandbox) { a.count(1) }},
	{schema.Metric{Name: "meta_sandbox_restored", Help: "Boolean metric set to 1 for each restored sandbox."},
		allPages, func(a *adder, s sandbox) { a.truth(s.Restored) }},
	{schema.Metric{Name: "meta_sandbox_running", Help: "Boolean metric set to 1 for each running sandbox."},
		allPages, func(a *adder, s sandbox) { a.truth(s.Running()) }},
	{schema.Metric{Name: "meta_sandbox_wall_time_saved_milliseconds", Help: "Wall time saved for each restored sandbox (in milliseconds).", Unit: schema.Milliseconds},
		allPages, func(a *adder, s sandbox) { a.count(s.WallSaved.Milliseconds()) }},
	{schema.Metric{Name: "meta_spec_metadata", Help: "Key-value pairs about OCI spec metadata.", SetLabels: []string{"hasuid0", "nvproxy", "ociversion", "tpuproxy"}},
		allPages, func(a *adder, s sandbox) {
			if s.HasMetrics() && s.labels.spec != nil {
				a.one(s.labels.spec)
			}
		}},
	{schema.Metric{Name: "sandmeter_sandbox_end_timestamp_seconds", Help: "When the server observed the end of the sandbox, as a unix timestamp in seconds. Present for sandboxes that have ended.", Float: true},
		notDropIn, func(a *adder, s sandbox) {
			if s.End != nil {
				a.at(s.End.Time, nil)
			}
		}},
	{schema.Metric{Name: "sandmeter_sandbox_lifetime_seconds", Help: "Time from the start of the sandbox's process to its end. Present for sandboxes that have ended, if the start is known.", Float: true},
		notDropIn, func(a *adder, s sandbox) {
			if s.End != nil && s.End.Lifetime > 0 {
				a.float(s.End.Lifetime.Seconds())
			}
		}},
	{schema.Metric{Name: "sandmeter_sandbox_outcome", Help: "How the sandbox ended, with value 1. Present for sandboxes that have ended.", SetLabels: []string{"exit_code", "oom_scope", "outcome", "signal"}},
		notDropIn, func(a *adder, s sandbox) {
			if s.End != nil {
				a.one(s.labels.outcome)
			}
		}},
	{schema.Metric{Name: "sandmeter_sandbox_query_duration_seconds", Help: "Time from connecting to the sandbox to the end of its reply or its failure, in the last query.", Float: true},
		notDropIn, func(a *adder, s sandbox) {
			if s.Running() && s.Took > 0 {
				a.float(s.Took.Seconds())
			}
		}},
	{schema.Metric{Name: "sandmeter_sandbox_up", Help: "Whether the running sandbox has metrics (1) or not (0)."},
		notDropIn, func(a *adder, s sandbox) {
			if s.Running() {
				a.truth(s.Failure == nil)
			}
		}},
}...)
