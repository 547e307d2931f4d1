package families

import (
	"errors"
	"io/fs"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A server has the facts about the server, and about the page.
type server struct {
	*snapshot.Snapshot
	options       *Options
	buildInfo     *snapshot.LabelSet
	roots         []*snapshot.LabelSet // by index in the snapshot
	seriesLeftOut int
}

// serverTable has the families about the server itself and about all sandboxes together. Those that
// gVisor's metric server has too have its HELP texts, byte for byte.
var serverTable = newTable(false, []row[server]{
	{schema.Metric{Name: "meta_metric_server_presence", Help: "Boolean metric always set to 1 for the metric server process."},
		allPages, func(a *adder, _ server) { a.count(1) }},
	{schema.Metric{Name: "meta_num_sandboxes_broken_metrics", Help: "Number of sandboxes from which we cannot export metrics."},
		allPages, func(a *adder, s server) { a.count(int64(s.Server.Sandboxes.Failed)) }},
	{schema.Metric{Name: "meta_num_sandboxes_checkpointed", Help: "Number of sandboxes present that have been checkpointed."},
		allPages, func(a *adder, s server) { a.count(int64(s.Server.Sandboxes.Checkpointed)) }},
	{schema.Metric{Name: "meta_num_sandboxes_restored", Help: "Number of sandboxes present that have been restored."},
		allPages, func(a *adder, s server) { a.count(int64(s.Server.Sandboxes.Restored)) }},
	{schema.Metric{Name: "meta_num_sandboxes_running", Help: "Number of sandboxes running at present."},
		allPages, func(a *adder, s server) { a.count(int64(s.Server.Sandboxes.Running)) }},
	{schema.Metric{Name: "meta_num_sandboxes_total", Help: "Counter of sandboxes that have ever been started.", Type: schema.Counter},
		allPages, func(a *adder, s server) { a.count(int64(s.Server.Sandboxes.Served)) }},
	{schema.Metric{Name: "meta_num_series_left_out", Help: "Number of series left out because sandboxes disagree on the type of the metric."},
		problems, func(a *adder, s server) { a.count(int64(s.seriesLeftOut)) }},
	{schema.Metric{Name: "meta_num_state_files_unreadable", Help: "Number of state files that cannot be read. Their sandboxes may be missing."},
		problems, addUnreadable},
	{schema.Metric{Name: "process_start_time_seconds", Help: "Start time of the process since unix epoch in seconds.", Float: true},
		allPages, func(a *adder, s server) {
			if s.Process == nil { // else Process has it
				a.at(s.options.StartTime, nil)
			}
		}},
	{schema.Metric{Name: "sandmeter_build_info", Help: "Version of Sandmeter, and the Go version and platform it was built with, with value 1.", SetLabels: []string{"goarch", "goos", "goversion", "version"}},
		notDropIn, func(a *adder, s server) { a.one(s.buildInfo) }},
	{schema.Metric{Name: "sandmeter_client_connections_closed_total", Help: "Counter of client connections that were closed because there were too many.", Type: schema.Counter},
		problems, counter(func(c *snapshot.Counters) fact.Figure { return c.ConnectionsClosed })},
	{schema.Metric{Name: "sandmeter_collection_duration_seconds", Help: "Duration of the collection of this page, from listing the runtime roots to the last reply.", Float: true},
		notDropIn, func(a *adder, s server) { a.float(s.Time.Sub(s.Began).Seconds()) }},
	{schema.Metric{Name: "sandmeter_collection_queries", Help: "Number of queries that the collection of this page sent to sandboxes."},
		notDropIn, func(a *adder, s server) { a.count(s.Server.Queries) }},
	{schema.Metric{Name: "sandmeter_collection_received_bytes", Help: "Number of bytes that the collection of this page received from sandboxes."},
		notDropIn, func(a *adder, s server) { a.count(s.Server.Received) }},
	{schema.Metric{Name: "sandmeter_exit_events_missing_total", Help: "Counter of sandboxes that ended without an event of the kernel about how. Present if the kernel sends such events to the server.", Type: schema.Counter},
		problems, counter(func(c *snapshot.Counters) fact.Figure { return c.ExitEventsMissing })},
	{schema.Metric{Name: "sandmeter_final_metrics_logs_refused_total", Help: "Counter of final metrics logs that were refused, so that their sandboxes have the values of their last replies. Present with --final-metrics-log.", Type: schema.Counter},
		allPages, counter(func(c *snapshot.Counters) fact.Figure { return c.FinalLogsRefused })},
	{schema.Metric{Name: "sandmeter_final_records_dropped_total", Help: "Counter of final records that were dropped because their file was too slow or failed. Present with --final-records.", Type: schema.Counter},
		problems, counter(func(c *snapshot.Counters) fact.Figure { return c.FinalRecordsDropped })},
	{schema.Metric{Name: "sandmeter_final_records_written_total", Help: "Counter of final records that were written, one per sandbox that ended. Present with --final-records.", Type: schema.Counter},
		problems, counter(func(c *snapshot.Counters) fact.Figure { return c.FinalRecordsWritten })},
	{schema.Metric{Name: "sandmeter_inotify_overflows_total", Help: "Counter of times that the kernel dropped events about state files. Sandboxes that lived for a moment may be missing.", Type: schema.Counter},
		problems, counter(func(c *snapshot.Counters) fact.Figure { return c.InotifyOverflows })},
	{schema.Metric{Name: "sandmeter_log_lines_dropped_total", Help: "Counter of log lines that were dropped because the log output was too slow or failed.", Type: schema.Counter},
		problems, counter(func(c *snapshot.Counters) fact.Figure { return c.LogLinesDropped })},
	{schema.Metric{Name: "sandmeter_over_budget", Help: "Number of sandboxes without metrics because all sandboxes together exceed a budget.", SetLabels: []string{"budget"}},
		problems, addBudgets},
	{schema.Metric{Name: "sandmeter_responses_cut_off_total", Help: "Counter of responses that were cut off because the client read them too slowly.", Type: schema.Counter},
		problems, counter(func(c *snapshot.Counters) fact.Figure { return c.ResponsesCutOff })},
	{schema.Metric{Name: "sandmeter_runtime_root_hung", Help: "Whether the file system of the runtime root does not answer (1) or does (0). Its sandboxes are as they were when it last did.", SetLabels: []string{"runtime_root"}},
		allPages, eachRoot(func(r *snapshot.Root) bool { return r.Hung })},
	{schema.Metric{Name: "sandmeter_runtime_root_missing", Help: "Whether the runtime root does not exist (1) or does (0). A root that does not exist is not readable either.", SetLabels: []string{"runtime_root"}},
		allPages, eachRoot(func(r *snapshot.Root) bool { return errors.Is(r.Err, fs.ErrNotExist) })},
	{schema.Metric{Name: "sandmeter_runtime_root_readable", Help: "Whether the last collection could read the runtime root (1) or not (0).", SetLabels: []string{"runtime_root"}},
		allPages, eachRoot(func(r *snapshot.Root) bool { return r.Err == nil })},
	{schema.Metric{Name: "sandmeter_runtime_roots_left_out", Help: "Number of runtime roots that are not served because there are too many. Empty ones that a glob matches do not count."},
		problems, func(a *adder, s server) { a.count(int64(s.Server.RootsLeftOut)) }},
	{schema.Metric{Name: "sandmeter_sandboxes", Help: "Number of sandboxes by the result of the query for their metrics: ok, failed, or not_running.", SetLabels: []string{"query_status"}},
		notDropIn, func(a *adder, s server) {
			c := &s.Server.Sandboxes
			a.add(int64(c.Running-c.Failed-c.Unregistered), labeled("query_status", "ok"))
			a.add(int64(c.Failed), labeled("query_status", "failed"))
			a.add(int64(c.All-c.Running), labeled("query_status", "not_running"))
		}},
	{schema.Metric{Name: "sandmeter_sandboxes_failed", Help: "Number of running sandboxes without metrics, by reason.", SetLabels: []string{"reason"}},
		notDropIn, func(a *adder, s server) {
			for _, reason := range failure.Reasons {
				a.add(int64(s.Server.Sandboxes.Failures[reason]), labeled("reason", string(reason)))
			}
		}},
	{schema.Metric{Name: "sandmeter_sandboxes_without_series", Help: "Number of sandboxes without series of their own, by reason: unregistered, or series_limit (--max-sandboxes-with-series).", SetLabels: []string{"reason"}},
		notDropIn, func(a *adder, s server) {
			for _, reason := range []snapshot.Hiding{snapshot.HidBySeriesLimit, snapshot.HidUnregistered} {
				a.add(int64(s.Server.Sandboxes.Hidden[reason]), labeled("reason", string(reason)))
			}
		}},
	{schema.Metric{Name: "sandmeter_snapshot_timestamp_seconds", Help: "When the collection of this snapshot began, as a unix timestamp in seconds. Present if --max-age is set.", Float: true},
		allPages, func(a *adder, s server) {
			if s.options.ShowTime {
				a.at(s.Began, nil)
			}
		}},
	{schema.Metric{Name: "sandmeter_unregistrations_total", Help: "Counter of sandboxes that clients have unregistered.", Type: schema.Counter},
		problems, counter(func(c *snapshot.Counters) fact.Figure { return c.Unregistrations })},
}...)

// counter returns a value function for a counter of the server.
func counter(of func(*snapshot.Counters) fact.Figure) func(*adder, server) {
	return func(a *adder, s server) {
		if f := of(&s.Server.Counters); f.Known {
			a.count(f.Value)
		}
	}
}

// eachRoot returns a value function for a truth about each runtime root. Pages of the drop-in server
// have only those roots that cannot be read.
func eachRoot(is func(*snapshot.Root) bool) func(*adder, server) {
	return func(a *adder, s server) {
		for i := range s.Roots {
			if root := &s.Roots[i]; !a.dropIn || root.Err != nil {
				a.add(number(is(root)), s.roots[i])
			}
		}
	}
}

// addBudgets adds the sandboxes that exceed budgets that all sandboxes share.
func addBudgets(a *adder, s server) {
	a.add(int64(s.Server.Sandboxes.Failures[failure.PageBudget]), labeled("budget", "page"))
	a.add(int64(s.Server.Sandboxes.Failures[failure.ReplyBudget]), labeled("budget", "replies"))
}

func addUnreadable(a *adder, s server) {
	files := 0
	for i := range s.Roots {
		files += len(s.Roots[i].Unreadable)
	}
	a.count(int64(files))
}
