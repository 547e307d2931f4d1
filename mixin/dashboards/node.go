package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// node returns the dashboard about one server and its sandboxes.
func node() *builder {
	d := newDashboard(nodeUID, "Sandmeter / Node",
		"One node: its gVisor sandboxes, what they use and how they end, and the health of the metric server itself.")
	with(d, jobs, nodes.only(), roots)
	d.Annotation(event("Server starts", "blue", in(ofServer, `process_start_time_seconds{@}`+aboutServer), "The metric server started"))
	d.WithRow(row("At a glance"))
	for _, t := range nodeTiles() {
		d.WithPanel(t)
	}
	nodeSandboxes(d.WithRow(row("Sandboxes")))
	nodeUsage(d.WithRow(row("Usage")))
	nodeServer(d.WithRow(row("Metric server")))
	return d
}

// aboutServer limits families of Prometheus's client library to servers of ours, in case a job has
// other targets too.
const aboutServer = ` and on (job, instance) sandmeter_metric_server_presence{@}`

// eachSandbox are the labels that tell sandboxes apart, and those by which people know them.
const eachSandbox = `(instance, runtime_root, namespace_name, pod_name, sandbox, iteration)`

// state is 0 for a sandbox that has ended, 1 for one without metrics, and 2 for one with metrics.
const state = `sandmeter_sandbox_running{@} + (sandmeter_sandbox_up{@} or 0 * sandmeter_sandbox_running{@})`

// The words for state.
var stateWords = []word{{"0", "Ended", "blue"}, {"1", "No metrics", "red"}, {"2", "Running", "green"}}

func nodeTiles() []cog.Builder[dashboard.Panel] {
	server := func(expr string) string { return in(ofServer, expr) }
	live := func(expr string) string { return in(ofRoot, expr) }
	small := func(title, description, unit, expr string) *stat.PanelBuilder {
		return tile(frame{title: title, description: description, width: full / 8, unit: unit}, now(expr, ""))
	}
	return []cog.Builder[dashboard.Panel]{
		small("Server", "Whether the metric server replied to the last scrape.", "", server(`min(up{@}`+known+`)`)).
			Mappings([]dashboard.ValueMapping{words(word{"0", "Down", "red"}, word{"1", "Up", "green"})}).NoValue("Gone"),
		small("Uptime", "Time since the metric server started. Totals begin again at 0 when it does.", seconds,
			server(`min(time() - process_start_time_seconds{@}`+aboutServer+`)`)),
		tile(frame{title: "Version", description: "Version of Sandmeter.", width: full / 8}, now(server(`max by (version) (sandmeter_build_info{@})`), "{{version}}")).
			TextMode(common.BigValueTextModeName),
		small("Sandboxes running", "Sandboxes whose process runs.", count, live(`sum(sandmeter_sandbox_running{@})`)).NoValue("0"),
		small("Without metrics", "Running sandboxes that have no metrics. The table of sandboxes below shows which, and the graph beside it why.", count,
			live(`count(sandmeter_sandbox_up{@} == 0)`)).Thresholds(shouldBeZero("red")).NoValue("0"),
		small("CPU", "CPU cores that sandboxes use, as the host measures them. Sandboxes without a cgroup of their own are not included.", cores,
			live(`sum(rate(sandmeter_sandbox_cpu_seconds_total{@}[$__rate_interval]))`)).Decimals(2).NoValue("0"),
		small("Memory", "Memory of the cgroups of sandboxes, page cache included.", bytesIEC,
			live(`sum(sandmeter_sandbox_memory_bytes{@})`)).NoValue("0"),
		small("OOM kills", "Processes that the kernel killed in the time range because the cgroup of a sandbox was out of memory.", count,
			server(`sum(increase(sandmeter_sandboxes_oom_kills_total{@}[$__range]))`)).Decimals(0).Thresholds(shouldBeZero("orange")).NoValue("0"),
	}
}

func nodeSandboxes(d *builder) {
	d.WithPanel(sandboxTable())
	d.WithPanel(stack(frame{title: "Sandboxes by state", description: "Sandboxes with metrics (ok), running sandboxes without metrics (failed), and sandboxes that have ended but are still shown (not_running).", width: third, unit: count},
		line(in(ofServer, `sum by (query_status) (sandmeter_sandboxes{@})`), "{{query_status}}")).
		Decimals(0).
		OverrideByName("ok", []dashboard.DynamicConfigValue{fixed("green")}).
		OverrideByName("failed", []dashboard.DynamicConfigValue{fixed("red")}).
		OverrideByName("not_running", []dashboard.DynamicConfigValue{fixed("blue")}))
	d.WithPanel(stack(frame{title: "Why sandboxes have no metrics", description: "Running sandboxes without metrics, by reason. Reasons without a sandbox are left out.", width: third, unit: count},
		line(in(ofServer, `sum by (reason) (sandmeter_sandboxes_failed{@}) > 0`), "{{reason}}")).
		Decimals(0).NoValue("Every running sandbox has metrics."))
	d.WithPanel(byOutcome(bars(frame{title: "How sandboxes end", description: "Sandboxes that end per minute, by outcome. Sandboxes that no scrape saw count, too.", width: third, unit: perMinute},
		line(in(ofServer, `60 * sum by (outcome) (rate(sandmeter_sandboxes_ended_total{@}[$__rate_interval]))`), "{{outcome}}"))))
}

// sandboxTable lists the sandboxes of a node, with those that have ended and are still shown.
func sandboxTable() cog.Builder[dashboard.Panel] {
	by := func(expr string) string { return in(ofRoot, `sum by `+eachSandbox+` (`+expr+`)`) }
	return grid(frame{"Sandboxes of the node", "The sandboxes of the node, with those that ended a short time ago. Click on a sandbox to open its dashboard.", full, tall + 2, count},
		highestFirst("CPU"),
		hiddenLabel("instance"),
		label("namespace_name", "Namespace"),
		label("pod_name", "Pod"),
		label("sandbox", "Sandbox").shortID().linked(openThis, rowToSandbox),
		hiddenLabel("iteration"),
		value(by(state), "State", "").worded(stateWords...).colored().wide(100),
		value(by(`rate(sandmeter_sandbox_cpu_seconds_total{@}[$__rate_interval])`), "CPU", cores).digits(2).wide(100),
		value(by(`sandmeter_sandbox_memory_bytes{@}`), "Memory", bytesIEC).wide(90),
		value(by(`sandmeter_sandbox_memory_bytes{@}`)+` / `+by(`sandmeter_container_limit_memory_bytes{@}`), "Of its limit", ratio).red("green", step{0.8, "orange"}, step{0.95, "red"}).wide(100),
		value(by(`rate(sandmeter_sandbox_network_receive_bytes_total{@}[$__rate_interval])`), "Received", bytesRate).wide(100),
		value(by(`rate(sandmeter_sandbox_network_transmit_bytes_total{@}[$__rate_interval])`), "Sent", bytesRate).wide(100),
		value(age, "Age", seconds).wide(90),
		value(in(ofRoot, `max by (instance, runtime_root, namespace_name, pod_name, sandbox, iteration, outcome, exit_code, signal) (sandmeter_sandbox_outcome{@})`), "", "").dropped(),
		label("outcome", "Outcome").wide(110),
		label("exit_code", "Exit code").wide(90),
		label("signal", "Signal").wide(80),
		label("runtime_root", "Runtime root"),
	)
}

// age is how long a sandbox lived, or has lived. A sandbox without metrics has no creation time, and
// without --usage there are no containers.
var age = in(ofRoot, `max by `+eachSandbox+` (sandmeter_sandbox_lifetime_seconds{@})`+
	` or time() - min by `+eachSandbox+` (sandmeter_container_start_time_seconds{@})`+
	` or time() - min by `+eachSandbox+` (sandmeter_sandbox_creation_time_seconds{@})`)

// busiest limits the series of sandboxes to the ten with the highest rank over the whole time range,
// so that a line does not come and go.
func busiest(series, rank string) string {
	return in(ofRoot, `sum by `+eachSandbox+` (`+series+`) and on (instance, sandbox, iteration) topk(10, `+rank+`)`)
}

func nodeUsage(d *builder) {
	each := func(p *timeseries.PanelBuilder) {
		d.WithPanel(sandboxNames(p).DataLinks([]cog.Builder[dashboard.DashboardLink]{follow(openThis, lineToSandbox)}))
	}
	each(stack(frame{title: "CPU of the busiest sandboxes", description: "CPU cores of the ten sandboxes that used most in the time range, as the host measures them.", width: half, unit: cores},
		line(busiest(`rate(sandmeter_sandbox_cpu_seconds_total{@}[$__rate_interval])`, `increase(sandmeter_sandbox_cpu_seconds_total{@}[$__range] @ end())`), sandboxLegend)))
	each(stack(frame{title: "Memory of the largest sandboxes", description: "Memory of the ten sandboxes that had most in the time range, page cache included.", width: half, unit: bytesIEC},
		line(busiest(`sandmeter_sandbox_memory_bytes{@}`, `max_over_time(sandmeter_sandbox_memory_bytes{@}[$__range] @ end())`), sandboxLegend)))
	const both = `rate(sandmeter_sandbox_network_receive_bytes_total{@}[$__rate_interval]) + rate(sandmeter_sandbox_network_transmit_bytes_total{@}[$__rate_interval])`
	const rank = `sum by (instance, sandbox, iteration) (increase(sandmeter_sandbox_network_receive_bytes_total{@}[$__range] @ end()) + increase(sandmeter_sandbox_network_transmit_bytes_total{@}[$__range] @ end()))`
	each(stack(frame{title: "Network of the busiest sandboxes", description: "Bytes per second, received and sent together, of the ten sandboxes with the most traffic in the time range.", width: half, unit: bytesRate},
		line(busiest(both, rank), sandboxLegend)))
	d.WithPanel(stack(frame{title: "Why figures of the host are missing", description: "Sandboxes that lack CPU, memory or network figures, by reason. The documentation of sandmeter_sandbox_usage_absent says what to do about each.", width: half, unit: count},
		line(in(ofRoot, `sum by (reason) (sandmeter_sandbox_usage_absent{@})`), "{{reason}}")).
		Decimals(0).NoValue("Nothing is missing."))
}

func nodeServer(d *builder) {
	server := func(expr string) string { return in(ofServer, expr) }
	d.WithPanel(serverProblems())
	d.WithPanel(limit(graph(frame{title: "Duration of collections", description: "Time to ask all sandboxes for their metrics, and the objective: 0.1 s, and 1 ms per running sandbox. A sandbox that stalls delays one collection by up to --sandbox-timeout.", width: half, unit: seconds},
		line(server(`max(sandmeter_collection_duration_seconds{@})`), "duration"),
		line(server(`max(0.1 + 0.001 * sandmeter_num_sandboxes_running{@})`), "objective")), "objective"))
	d.WithPanel(sandboxNames(graph(frame{title: "Slowest replies", description: "Time that the ten slowest sandboxes took for their last reply.", width: quarter, unit: seconds},
		line(busiest(`sandmeter_sandbox_query_duration_seconds{@}`, `max_over_time(sandmeter_sandbox_query_duration_seconds{@}[$__range] @ end())`), sandboxLegend)).
		DataLinks([]cog.Builder[dashboard.DashboardLink]{follow(openThis, lineToSandbox)})))
	d.WithPanel(graph(frame{title: "CPU of the server", description: "CPU cores that the metric server uses.", width: quarter, unit: cores},
		line(server(`sum(rate(process_cpu_seconds_total{@}[$__rate_interval])`+aboutServer+`)`), "CPU")).Decimals(3).AxisSoftMax(0.01))
	d.WithPanel(graph(frame{title: "Memory of the server", description: "Memory of the metric server: all that is resident, and its heap in use.", width: quarter, unit: bytesIEC},
		line(server(`sum(process_resident_memory_bytes{@}`+aboutServer+`)`), "resident"),
		line(server(`sum(go_memstats_heap_inuse_bytes{@}`+aboutServer+`)`), "heap")))
	d.WithPanel(graph(frame{title: "File descriptors of the server", description: "Part of its limit on file descriptors that the metric server uses. It holds some per sandbox, and closes those that it can do without when they become scarce.", width: quarter, unit: ratio},
		line(server(`max(process_open_fds{@} / process_max_fds{@}`+aboutServer+`)`), "in use")).
		Max(1).
		Thresholds(steps("transparent", step{0.8, "red"})).
		ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashed)))
}

// unreadable is 1 for a runtime root that exists and cannot be read. One that does not exist is no
// problem: its container runtime may not be installed.
const unreadable = `(sandmeter_runtime_root_readable{@} == bool 0) unless sandmeter_runtime_root_missing{@} == 1`

// serverProblems shows what the server could not do.
func serverProblems() cog.Builder[dashboard.Panel] {
	level := func(expr, legend string) target { return now(in(ofServer, expr), legend) }
	counter := func(family, legend string) target {
		return level(`sum(increase(`+family+`{@}[$__range]))`, legend)
	}
	return gauges(frame{"Problems of the server", "What the metric server could not read, show or keep, now or in the time range. All of it should be 0. Runtime roots that do not exist are left out.", half, tall, count},
		level(`sum by (runtime_root) (`+unreadable+`)`, "Unreadable: {{runtime_root}}"),
		level(`sum(sandmeter_num_state_files_unreadable{@})`, "Unreadable state files"),
		level(`sum by (budget) (sandmeter_over_budget{@})`, "Over budget: {{budget}}"),
		level(`sum by (reason) (sandmeter_sandboxes_without_series{@})`, "Without series: {{reason}}"),
		level(`sum(sandmeter_num_series_left_out{@})`, "Series left out"),
		level(`sum(sandmeter_runtime_roots_left_out{@})`, "Runtime roots left out"),
		counter("sandmeter_inotify_overflows_total", "inotify overflows"),
		counter("sandmeter_responses_cut_off_total", "Responses cut off"),
		counter("sandmeter_client_connections_closed_total", "Connections closed"),
		counter("sandmeter_log_lines_dropped_total", "Log lines dropped"),
		counter("sandmeter_final_records_dropped_total", "Final records dropped"),
		counter("sandmeter_final_metrics_logs_refused_total", "Final metrics logs refused"),
	).Decimals(0).Thresholds(shouldBeZero("red"))
}
