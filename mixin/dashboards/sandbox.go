package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
)

// Variables of the sandbox dashboard. There is no choice of all sandboxes, because a page with
// thousands of them would be slow and say little.
var (
	pods = choice{name: "pod", label: "Pod", description: "Kubernetes pods. The sandboxes that a pod had one after the other are separate sandboxes; select several to see them together.",
		family: "sandmeter_sandbox_presence", of: ofRoot + `,namespace_name=~"$namespace"`, by: "pod_name", all: ".*"}
	sandboxes = choice{name: "sandbox", label: "Sandbox", description: "IDs of sandboxes, also of those that ended in the time range. The figures of several are added up.",
		family: "sandmeter_sandbox_presence", of: ofRoot + `,namespace_name=~"$namespace",pod_name=~"$pod"`, by: "sandbox"}
	iterations = choice{name: "iteration", label: "Iteration", description: "Tells sandboxes apart that had the same ID one after the other.",
		family: "sandmeter_sandbox_presence", of: ofRoot + `,namespace_name=~"$namespace",pod_name=~"$pod",sandbox=~"$sandbox"`, by: "iteration", all: ".+"}
)

// sandbox returns the dashboard about one sandbox, or the sandboxes of a pod.
func sandbox() *builder {
	d := newDashboard(sandboxUID, "Sandmeter / Sandbox",
		"One gVisor sandbox in detail: whether it runs, how it ended, what it uses of its limits, what it does, and why metrics are missing.")
	with(d, jobs, nodes, roots, namespaces, pods, sandboxes, iterations)
	d.Annotation(event("Ends", "orange", one(`max by (sandbox) (sandmeter_sandbox_end_timestamp_seconds{@})`), "{{sandbox}} ended"))
	d.Annotation(event("Container starts", "green", one(`max by (container) (sandmeter_container_start_time_seconds{@})`), "{{container}} was created"))
	d.WithRow(row("At a glance"))
	for _, t := range sandboxTiles() {
		d.WithPanel(t)
	}
	sandboxLife(d)
	sandboxUsage(d.WithRow(row("Usage and limits")))
	sandboxFiles(d.WithRow(row("Files")))
	sandboxNetwork(d.WithRow(row("Network")))
	sandboxConduct(d.WithRow(row("System calls and suspicious operations")))
	return d
}

// one completes an expression about the selected sandboxes.
func one(expr string) string { return in(ofSandbox, expr) }

// last reads a series also if it ended in the time range, as those of sandboxes that are gone.
func last(series string) string { return `last_over_time(` + series + `[$__range])` }

// lastState is state at the end of the time range, also of a sandbox that is gone.
var lastState = last(`sandmeter_sandbox_running{@}`) + ` * (1 + (` + last(`sandmeter_sandbox_up{@}`) + ` or 0 * ` + last(`sandmeter_sandbox_running{@}`) + `))`

func sandboxTiles() []cog.Builder[dashboard.Panel] {
	small := func(title, description, unit, expr string) *stat.PanelBuilder {
		return tile(frame{title: title, description: description, width: sixth, unit: unit}, now(one(expr), ""))
	}
	return []cog.Builder[dashboard.Panel]{
		small("State", "Whether the sandbox runs, and has metrics.", "", `max(`+lastState+`)`).
			Mappings([]dashboard.ValueMapping{words(stateWords...)}),
		tile(frame{title: "Outcome", description: "How the sandbox ended, with the exit code of its workload or the number of the signal.", width: sixth},
			now(one(`label_replace(label_replace(max by (outcome, exit_code, signal) (`+last(`sandmeter_sandbox_outcome{@}`)+`), "how", "with $1", "exit_code", "(.+)"), "how", "by signal $1", "signal", "(.+)")`), "{{outcome}} {{how}}")).
			TextMode(common.BigValueTextModeName).NoValue("Not ended"),
		small("Age", "Time since the sandbox was created, or its whole lifetime if it has ended.", seconds,
			`max(`+last(`sandmeter_sandbox_lifetime_seconds{@}`)+`) or time() - min(`+last(`sandmeter_container_start_time_seconds{@}`)+`) or time() - min(`+last(`sandmeter_sandbox_creation_time_seconds{@}`)+`)`),
		small("CPU", "CPU cores that the sandbox uses, as the host measures them.", cores,
			`sum(rate(sandmeter_sandbox_cpu_seconds_total{@}[$__rate_interval]))`).Decimals(2).NoValue("–"),
		small("Memory", "Memory of the sandbox's cgroup, page cache included.", bytesIEC,
			`sum(sandmeter_sandbox_memory_bytes{@})`).NoValue("–"),
		small("OOM kills", "Processes that the kernel killed because the cgroup of the sandbox was out of memory.", count,
			`sum(`+last(`sandmeter_sandbox_oom_kills_total{@}`)+`)`).Thresholds(shouldBeZero("red")),
	}
}

// sandboxLife shows what a sandbox is, and why metrics are missing.
func sandboxLife(d *builder) {
	d.WithPanel(timeline(frame{"State, and why metrics are missing", "Whether the sandbox ran; the reason while it had no metrics; and the reason while figures of the host were missing.", full, low + 1, ""},
		words(append(stateWords, word{"3", "Missing", "orange"})...),
		line(one(`max by (sandbox) (`+state+`)`), "{{sandbox}}"),
		line(one(`max by (reason) (sandmeter_sandbox_failure{@})`), "No metrics: {{reason}}"),
		line(one(`3 * max by (reason) (sandmeter_sandbox_usage_absent{@})`), "Host: {{reason}}"),
	).WithTransformation(rename(longID, shortID)))
	d.WithPanel(identityTable())
}

// identityTable says what a sandbox is, and what it has cost so far, also after its end.
func identityTable() cog.Builder[dashboard.Panel] {
	by := func(labels, expr string) string {
		return one(`max by (sandbox, iteration` + labels + `) (` + expr + `)`)
	}
	return grid(frame{"What it is", "The sandbox, the runsc that started it, and what it has used since its start.", full, low, ""},
		highestFirst("Created"),
		label("sandbox", "Sandbox").shortID(),
		hiddenLabel("iteration"),
		value(by(", instance, namespace_name, pod_name", last(`sandmeter_sandbox_presence{@}`)), "", "").dropped(),
		label("namespace_name", "Namespace"),
		label("pod_name", "Pod"),
		label("instance", "Node").linked(openNode, rowToNode),
		value(by("", `1000 * `+last(`sandmeter_sandbox_creation_time_seconds{@}`)), "Created", timestamp).wide(160),
		value(by("", last(`sandmeter_sandbox_cpu_seconds_total{@}`)), "CPU time", seconds).wide(90),
		value(by("", last(`sandmeter_sandbox_memory_peak_bytes{@}`)), "Peak memory", bytesIEC).wide(110),
		value(by(", version, platform, network", last(`sandmeter_sandbox_info{@}`)), "", "").dropped(),
		label("version", "runsc"),
		label("platform", "Platform").wide(90),
		label("network", "Network").wide(90),
		value(by(", hasuid0", last(`sandmeter_spec_info{@}`)), "", "").dropped(),
		label("hasuid0", "Has user 0").wide(90),
	)
}

func sandboxUsage(d *builder) {
	container := func(expr string) string {
		return one(named(`sum by (container) (`+expr+`)`, "container", "(unattributed)"))
	}
	const cpu = `rate(sandmeter_container_cpu_seconds_total{@}[$__rate_interval])`
	d.WithPanel(apart(limit(stack(frame{title: "CPU by container and its limit", description: "CPU cores as the host measures them, split by what the sandbox reports of its containers; the line is the sandbox as a whole. Without a cgroup of its own, only the sentry's CPU time is known. The limit is the sum of the containers' limits.", width: half, unit: cores},
		line(container(cpu), "{{container}}"),
		line(one(`sum(rate(sandmeter_sandbox_cpu_seconds_total{@}[$__rate_interval]))`), "sandbox"),
		line(one(`sum(rate(sandmeter_sentry_cpu_seconds_total{@}[$__rate_interval]))`), "sentry only"),
		line(one(`sum(sandmeter_container_limit_cpu_cores{@})`), "limit")), "limit"), "sandbox", "text").
		WithTransformation(rename(longID, shortID)))
	d.WithPanel(limit(graph(frame{title: "Memory and its limit", description: "Memory of the sandbox's cgroup, page cache included, and the highest so far. Without a cgroup of its own, the sentry's memory. The limit is the sum of the containers' limits.", width: half, unit: bytesIEC},
		line(one(`sum(sandmeter_sandbox_memory_bytes{@})`), "memory"),
		line(one(`sum(sandmeter_sandbox_memory_peak_bytes{@})`), "peak"),
		line(one(`sum(sandmeter_sentry_memory_bytes{@})`), "sentry only"),
		line(one(`sum(sandmeter_container_limit_memory_bytes{@})`), "limit")), "limit"))
	d.WithPanel(containerTable())
	d.WithPanel(graph(frame{title: "Waiting for resources", description: "Part of the time for which the CPU limit stopped the sandbox (throttled), and for which some or all of its tasks waited for CPU, memory or I/O (only with cgroup v2).", width: half, unit: ratio},
		line(one(`sum(rate(sandmeter_sandbox_cpu_throttled_seconds_total{@}[$__rate_interval]))`), "throttled"),
		line(one(`sum by (resource, kind) (rate(sandmeter_sandbox_pressure_seconds_total{@}[$__rate_interval]))`), "{{resource}}, {{kind}}")).
		NoValue("Neither a CPU limit nor cgroup v2"))
	d.WithPanel(graph(frame{title: "Threads and processes", description: "Threads of the sandbox on the host, which its limit on tasks counts, and threads and zombies of each container, which the sandbox reports with --usage=own,detail.", width: half, unit: count},
		line(one(`sum(sandmeter_sandbox_threads{@})`), "threads on the host"),
		line(container(`sandmeter_container_processes{@}`), "{{container}}")).
		Decimals(0).WithTransformation(rename(longID, shortID)))
}

// containerTable compares what each container uses with its limits.
func containerTable() cog.Builder[dashboard.Panel] {
	by := func(expr string) string { return one(`sum by (container) (` + expr + `)`) }
	cpu := by(`rate(sandmeter_container_cpu_seconds_total{@}[$__rate_interval])`)
	cpuLimit := by(`sandmeter_container_limit_cpu_cores{@}`)
	memory := by(`sandmeter_container_memory_bytes{@}`)
	memoryLimit := by(`sandmeter_container_limit_memory_bytes{@}`)
	return grid(frame{"Containers", "What each container uses of its limits. Its memory is what the sandbox reports with --usage=own,detail, at most that of the sandbox's cgroup; a pod whose containers mount no cgroups divides it equally.", full, tall - 2, count},
		highestFirst("CPU"),
		label("container", "Container").emptyAs("(unattributed)").shortID(),
		value(cpu, "CPU", cores).digits(2),
		value(cpuLimit, "CPU limit", cores),
		value(cpu+` / `+cpuLimit, "Of the CPU limit", ratio).red("green", step{0.8, "orange"}, step{0.95, "red"}),
		value(memory, "Memory", bytesIEC),
		value(memoryLimit, "Memory limit", bytesIEC),
		value(memory+` / `+memoryLimit, "Of the memory limit", ratio).red("green", step{0.8, "orange"}, step{0.95, "red"}),
		value(one(`1000 * max by (container) (sandmeter_container_start_time_seconds{@})`), "Created", timestamp),
	)
}

func sandboxFiles(d *builder) {
	rate := func(family string) string { return one(`sum(rate(` + family + `{@}[$__rate_interval]))`) }
	wait := func(kind string) string {
		return one(`sum(rate(runsc_` + kind + `_seconds_total{@}[$__rate_interval]))`)
	}
	d.WithPanel(graph(frame{title: "Opens", description: "Files that applications open per second: all, and those that the gofer opens with and without a host file descriptor, and in-memory files.", width: third, unit: perSecond},
		line(rate("runsc_fs_opens_total"), "all"),
		line(rate("runsc_gofer_opens_host_total"), "gofer, host descriptor"),
		line(rate("runsc_gofer_opens_9p_total"), "gofer, no descriptor"),
		line(one(`sum(rate(runsc_in_memory_file_opens_ro_total{@}[$__rate_interval]) + rate(runsc_in_memory_file_opens_w_total{@}[$__rate_interval]))`), "in memory")))
	d.WithPanel(graph(frame{title: "Reads", description: "Reads of files per second: all, and those through the gofer with and without a host file descriptor, and of in-memory files.", width: third, unit: perSecond},
		line(rate("runsc_fs_reads_total"), "all"),
		line(rate("runsc_gofer_reads_host_total"), "gofer, host descriptor"),
		line(rate("runsc_gofer_reads_9p_total"), "gofer, no descriptor"),
		line(rate("runsc_in_memory_file_reads_total"), "in memory")))
	d.WithPanel(graph(frame{title: "Time spent in reads", description: "Part of the time that applications waited for reads of files. It exceeds 100 % if several wait at once. A runsc that does not measure it shows 0.", width: third, unit: ratio},
		line(wait("fs_read_wait"), "all"),
		line(wait("gofer_read_wait_host"), "gofer, host descriptor"),
		line(wait("gofer_read_wait_9p"), "gofer, no descriptor"),
		line(wait("in_memory_file_read_wait"), "in memory")))
}

func sandboxNetwork(d *builder) {
	rate := func(family string) string { return one(`sum(rate(` + family + `{@}[$__rate_interval]))`) }
	each := func(family string) string {
		return one(`sum by (interface) (rate(` + family + `{@}[$__rate_interval]))`)
	}
	d.WithPanel(traffic(frame{title: "Traffic", description: "Bytes per second through each interface, as the host measures them: received above zero, sent below. Absent with the network of the host.", width: third, unit: bytesRate},
		line(each("sandmeter_sandbox_network_receive_bytes_total"), "{{interface}} received"),
		line(each("sandmeter_sandbox_network_transmit_bytes_total"), "{{interface}} sent")))
	d.WithPanel(graph(frame{title: "Lost packets", description: "Packets per second that the interfaces on the host dropped or received broken, that gVisor's network stack dropped, and TCP segments that it sent again.", width: third, unit: packets},
		line(one(`sum(rate(sandmeter_sandbox_network_receive_dropped_total{@}[$__rate_interval]) + rate(sandmeter_sandbox_network_transmit_dropped_total{@}[$__rate_interval]))`), "dropped on the host"),
		line(one(`sum(rate(sandmeter_sandbox_network_receive_errors_total{@}[$__rate_interval]) + rate(sandmeter_sandbox_network_transmit_errors_total{@}[$__rate_interval]))`), "errors on the host"),
		line(rate("runsc_netstack_dropped_packets_total"), "dropped in the sandbox"),
		line(rate("runsc_netstack_tcp_retransmits_total"), "TCP segments sent again")))
	d.WithPanel(graph(frame{title: "TCP connections", description: "TCP connections per second that the sandbox opens, accepts, fails to open, and resets, as its network stack counts them.", width: third, unit: connections},
		line(rate("runsc_netstack_tcp_active_connection_openings_total"), "opened"),
		line(rate("runsc_netstack_tcp_passive_connection_openings_total"), "accepted"),
		line(rate("runsc_netstack_tcp_failed_connection_attempts_total"), "failed"),
		line(rate("runsc_netstack_tcp_resets_sent_total"), "reset")))
}

func sandboxConduct(d *builder) {
	// Counts, and not rates: these counters appear with their first increment, which a rate misses.
	d.WithPanel(graph(frame{title: "Unimplemented system calls", description: "System calls since the sandbox started that gVisor does not implement, by number. Programs that are linked with glibc make one at their start (334, rseq).", width: third, unit: count},
		line(one(`sum by (sysno) (runsc_unimplemented_syscalls_total{@})`), "{{sysno}}")).
		Decimals(0).NoValue("None"))
	d.WithPanel(graph(frame{title: "Suspicious operations", description: "Operations since the sandbox started that honest workloads hardly do, such as opening an executable file to write (suspicious), and problems that the sentry noticed (weird).", width: third, unit: count},
		line(one(`sum by (operation_type) (runsc_suspicious_operations_total{@})`), "suspicious: {{operation_type}}"),
		line(one(`sum by (weirdness_type) (runsc_weirdness_total{@})`), "weird: {{weirdness_type}}")).
		Decimals(0).NoValue("None"))
	d.WithPanel(signed(frame{title: "Claims compared with the host", description: "Difference between what the sandbox reports of itself and what the host measured, as a part of the latter. The documentation of sandmeter_sandbox_claim_difference_ratio says what honest sandboxes show.", width: third, unit: ratio},
		line(one(`max by (of) (sandmeter_sandbox_claim_difference_ratio{@})`), "{{of}}")).
		NoValue("The sandbox has used too little to compare."))
}
