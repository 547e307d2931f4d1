package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
)

// fleet returns the dashboard about all servers, by namespace.
func fleet() *builder {
	d := newDashboard(fleetUID, "Sandmeter / Fleet",
		"gVisor sandboxes of all nodes by namespace: how many there are, what they use, how they ended, and which nodes need attention.")
	with(d, jobs, nodes, namespaces)
	d.WithRow(row("At a glance"))
	for _, t := range fleetTiles() {
		d.WithPanel(t)
	}
	fleetNamespaces(d.WithRow(row("By namespace")))
	fleetTotals(d.WithRow(row("Totals, with the sandboxes that ended")))
	fleetNodes(d.WithRow(row("By node")))
	return d
}

// known are the targets that served metrics of Sandmeter in the time range, also if they are down
// now. A job may have other targets.
const known = ` and on (job, instance) last_over_time(sandmeter_metric_server_presence{@}[$__range])`

func fleetTiles() []cog.Builder[dashboard.Panel] {
	server := func(expr string) string { return in(ofServer, expr) }
	live := func(expr string) string { return in(ofNamespace, expr) }
	small := func(title, description, unit, expr string) *stat.PanelBuilder {
		return tile(frame{title: title, description: description, width: full / 8, unit: unit}, now(expr, "")).NoValue("0")
	}
	return []cog.Builder[dashboard.Panel]{
		small("Nodes up", "Servers that replied to the last scrape.", count,
			server(`count((up{@} == 1)`+known+`)`)),
		small("Nodes down", "Servers that did not reply to the last scrape, but served metrics earlier in the time range. Nothing is known of their sandboxes.", count,
			server(`count((up{@} == 0)`+known+`)`)).Thresholds(shouldBeZero("red")),
		small("Sandboxes running", "Sandboxes whose process runs.", count,
			live(`sum(sandmeter_sandbox_running{@})`)),
		small("Without metrics", "Running sandboxes that have no metrics. The table of failing sandboxes below has the reasons.", count,
			live(`count(sandmeter_sandbox_up{@} == 0)`)).Thresholds(shouldBeZero("red")),
		small("CPU", "CPU cores that sandboxes use, as the host measures them. Sandboxes without a cgroup of their own are not included.", cores,
			live(`sum(rate(sandmeter_sandbox_cpu_seconds_total{@}[$__rate_interval]))`)).Decimals(2),
		small("Memory", "Memory of the cgroups of sandboxes, page cache included.", bytesIEC,
			live(`sum(sandmeter_sandbox_memory_bytes{@})`)),
		small("Did not end well", "Sandboxes that failed or were killed in the time range. Kubernetes ends the sandbox of a deleted pod with SIGKILL, so such a sandbox counts as failed.", count,
			in(ofGroup, `sum(increase(sandmeter_sandboxes_ended_total{@,outcome=~"failed|oom_killed|killed"}[$__range]))`)).Decimals(0),
		small("OOM kills", "Processes that the kernel killed in the time range because the cgroup of a sandbox was out of memory.", count,
			in(ofGroup, `sum(increase(sandmeter_sandboxes_oom_kills_total{@}[$__range]))`)).Decimals(0).Thresholds(shouldBeZero("orange")),
	}
}

// named gives series without a value of a label one, so that they have a legend.
func named(expr, label, none string) string {
	return `label_replace(` + expr + `, "` + label + `", "` + none + `", "` + label + `", "")`
}

func fleetNamespaces(d *builder) {
	live := func(expr string) string { return in(ofNamespace, expr) }
	by := func(expr string) string { return live(`sum by (namespace_name) (` + expr + `)`) }
	byName := func(expr string) string { return named(by(expr), "namespace_name", "(none)") }
	const receive, transmit = `rate(sandmeter_sandbox_network_receive_bytes_total{@}[$__rate_interval])`, `rate(sandmeter_sandbox_network_transmit_bytes_total{@}[$__rate_interval])`
	const cpu = `rate(sandmeter_sandbox_cpu_seconds_total{@}[$__rate_interval])`
	d.WithPanel(grid(frame{"Namespaces", "What the sandboxes of each namespace use now. Sandboxes that belong to no pod have no namespace. Click on a namespace to see only its sandboxes.", full, tall, count},
		highestFirst("CPU"),
		label("namespace_name", "Namespace").emptyAs("(none)").linked(openSpace, rowToNamespace),
		value(by(`sandmeter_sandbox_running{@}`), "Running", count),
		value(by(`sandmeter_sandbox_up{@} == bool 0`), "Without metrics", count).red("text", step{1, "red"}),
		value(live(`count by (namespace_name) (count by (namespace_name, instance) (sandmeter_sandbox_running{@} == 1))`), "Nodes", count),
		value(by(cpu), "CPU", cores).digits(2),
		value(by(`sandmeter_sandbox_memory_bytes{@}`), "Memory", bytesIEC),
		value(by(receive), "Received", bytesRate),
		value(by(transmit), "Sent", bytesRate),
	))
	d.WithPanel(stack(frame{title: "Sandboxes running by namespace", description: "Sandboxes whose process runs.", width: half, unit: count},
		line(byName(`sandmeter_sandbox_running{@}`), "{{namespace_name}}")).Decimals(0))
	d.WithPanel(stack(frame{title: "CPU by namespace", description: "CPU cores that the sandboxes of each namespace use, as the host measures them.", width: half, unit: cores},
		line(byName(cpu), "{{namespace_name}}")))
	d.WithPanel(stack(frame{title: "Memory by namespace", description: "Memory of the cgroups of sandboxes, page cache included.", width: half, unit: bytesIEC},
		line(byName(`sandmeter_sandbox_memory_bytes{@}`), "{{namespace_name}}")))
	d.WithPanel(traffic(frame{title: "Network by namespace", description: "Bytes per second through the network interfaces of sandboxes: received above zero, sent below.", width: half, unit: bytesRate},
		line(byName(receive), "{{namespace_name}} received"),
		line(byName(transmit), "{{namespace_name}} sent")))
}

func fleetTotals(d *builder) {
	group := func(expr string) string { return in(ofGroup, expr) }
	byName := func(expr string) string { return named(group(`sum by (group) (`+expr+`)`), "group", "(none)") }
	d.WithPanel(apart(byOutcome(bars(frame{title: "Starts and ends", description: "Sandboxes that started (line) and ended (bars) per minute, by outcome. Sandboxes that no scrape saw count, too.", width: third, unit: perMinute},
		line(group(`60 * sum by (outcome) (rate(sandmeter_sandboxes_ended_total{@}[$__rate_interval]))`), "{{outcome}}"),
		line(group(`60 * sum(rate(sandmeter_sandboxes_started_total{@}[$__rate_interval]))`), "started"),
	)), "started", "text", property("custom.drawStyle", "line"), property("custom.lineWidth", 2)))
	d.WithPanel(stack(frame{title: "CPU by group", description: "CPU cores that all sandboxes used, with those that no scrape saw. The group is the namespace with --totals-by=namespace.", width: third, unit: cores},
		line(byName(`rate(sandmeter_sandboxes_cpu_seconds_total{@}[$__rate_interval])`), "{{group}}")))
	d.WithPanel(traffic(frame{title: "Network by group", description: "Bytes per second of all sandboxes, with those that no scrape saw: received above zero, sent below. The group is the namespace with --totals-by=namespace.", width: third, unit: bytesRate},
		line(byName(`rate(sandmeter_sandboxes_network_receive_bytes_total{@}[$__rate_interval])`), "{{group}} received"),
		line(byName(`rate(sandmeter_sandboxes_network_transmit_bytes_total{@}[$__rate_interval])`), "{{group}} sent")))
	d.WithPanel(endedTable())
}

// endedTable says how sandboxes ended and what each cost, by group.
func endedTable() cog.Builder[dashboard.Panel] {
	ended := func(outcomes string) string {
		return in(ofGroup, `sum by (group) (increase(sandmeter_sandboxes_ended_total{@,outcome=~"`+outcomes+`"}[$__range]))`)
	}
	quantile := func(q, family string) string {
		return in(ofGroup, `histogram_quantile(`+q+`, sum by (group, le) (increase(`+family+`_bucket{@}[$__range]))) >= 0`)
	}
	return grid(frame{"Ended sandboxes in the time range", "How the sandboxes of each group ended, and what one of them cost over its whole life. The group is the namespace with --totals-by=namespace; without groups there is one row.", full, tall, count},
		highestFirst("Started"),
		label("group", "Group").emptyAs("(none)"),
		value(in(ofGroup, `sum by (group) (increase(sandmeter_sandboxes_started_total{@}[$__range]))`), "Started", count).digits(0).wide(100),
		value(ended("exited|checkpointed"), "Ended well", count).digits(0).wide(110),
		value(ended("failed"), "Failed", count).digits(0).wide(110).red("text", step{0.5, "orange"}),
		value(ended("killed"), "Killed", count).digits(0).wide(110).red("text", step{0.5, "orange"}),
		value(ended("oom_killed"), "Out of memory", count).digits(0).wide(110).red("text", step{0.5, "red"}),
		value(ended("vanished|unregistered|unknown"), "Unknown", count).digits(0).wide(110),
		value(quantile("0.5", "sandmeter_sandboxes_lifetime_seconds"), "Lifetime, median", seconds).wide(140),
		value(quantile("0.95", "sandmeter_sandboxes_lifetime_seconds"), "Lifetime, 95 %", seconds).wide(140),
		value(quantile("0.5", "sandmeter_sandboxes_lifetime_cpu_seconds"), "CPU time, median", seconds).wide(140),
		value(quantile("0.95", "sandmeter_sandboxes_lifetime_cpu_seconds"), "CPU time, 95 %", seconds).wide(140),
		value(quantile("0.95", "sandmeter_sandboxes_lifetime_memory_peak_bytes"), "Peak memory, 95 %", bytesIEC).wide(140),
	)
}

func fleetNodes(d *builder) {
	by := func(expr string) string { return in(ofServer, `sum by (job, instance) (`+expr+`)`) }
	d.WithPanel(grid(frame{"Nodes", "One row per server, those that are down first. Click on a node to open its dashboard.", full, tall, count},
		lowestFirst("Server"),
		hiddenLabel("job"),
		label("instance", "Node").linked(openNode, rowToNode),
		value(in(ofServer, `max by (job, instance) (up{@}`+known+`)`), "Server", "").worded(word{"0", "Down", "red"}, word{"1", "Up", "green"}).colored(),
		value(by(`sandmeter_num_sandboxes_running{@}`), "Running", count),
		value(by(`sandmeter_sandboxes{@,query_status="failed"}`), "Without metrics", count).red("text", step{1, "red"}),
		value(by(`rate(sandmeter_sandbox_cpu_seconds_total{@}[$__rate_interval])`), "CPU", cores).digits(2),
		value(by(`sandmeter_sandbox_memory_bytes{@}`), "Memory", bytesIEC),
		value(by(`sandmeter_collection_duration_seconds{@}`), "Collection", seconds),
		value(by(unreadable), "Unreadable roots", count).red("text", step{1, "red"}),
		value(in(ofServer, `max by (job, instance, version) (sandmeter_build_info{@})`), "", "").dropped(),
		label("version", "Version"),
	))
	d.WithPanel(grid(frame{"Failing sandboxes", "Running sandboxes without metrics, and the reason. Click on a sandbox to open its dashboard.", half, tall, ""},
		lowestFirst("Reason"),
		label("namespace_name", "Namespace").emptyAs("(none)"),
		label("pod_name", "Pod"),
		label("sandbox", "Sandbox").shortID().linked(openThis, rowToSandbox),
		label("reason", "Reason"),
		label("instance", "Node").linked(openNode, rowToNode),
		hiddenLabel("iteration"),
		value(in(ofNamespace, `max by (instance, namespace_name, pod_name, sandbox, iteration, reason) (sandmeter_sandbox_failure{@})`), "", "").dropped(),
	).NoValue("Every running sandbox has metrics."))
	d.WithPanel(stack(frame{title: "Sandboxes without metrics by node", description: "Running sandboxes without metrics on each node.", width: half, unit: count},
		line(in(ofServer, `sum by (job, instance) (sandmeter_sandboxes{@,query_status="failed"})`), "{{instance}}")).
		Decimals(0).
		DataLinks([]cog.Builder[dashboard.DashboardLink]{follow(openNode, lineToNode)}))
}
