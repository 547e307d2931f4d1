package schema

import (
	"slices"
	"strings"
)

// Server is the schema of the server's own families. Its samples come in sources, as those of a
// registered schema do: one source per sandbox, and one for the server itself. The constants below
// are the indexes of its metrics.
var Server = builtin(serverMetrics[:])

// The server's own families, in the order of their names.
const (
	ServerPresence = iota
	SandboxesBroken
	SandboxesCheckpointed
	SandboxesRestored
	SandboxesRunning
	SandboxesTotal
	SeriesLeftOut
	StateFilesUnreadable
	SandboxCapabilities
	SandboxCheckpointed
	SandboxCPUSaved
	SandboxCreation
	SandboxFailure
	SandboxMetadata
	SandboxPresence
	SandboxRestored
	SandboxRunning
	SandboxWallSaved
	SpecMetadata
	ProcessStart
	BuildInfo
	ConnectionsClosed
	CollectionDuration
	CollectionQueries
	CollectionReceived
	FinalLogsRefused
	FinalRecordsDropped
	FinalRecordsWritten
	InotifyOverflows
	LogLinesDropped
	OverBudget
	ResponsesCutOff
	RootMissing
	RootReadable
	RootsLeftOut
	SandboxEnd
	SandboxLifetime
	SandboxOutcome
	SandboxQueryDuration
	SandboxUp
	Sandboxes
	SandboxesFailed
	SandboxesWithoutSeries
	SnapshotTime
	Unregistrations
	serverFamilies
)

// serverMetrics are the metrics of Server. Families that gVisor's metric server has too have its
// HELP texts, byte for byte.
var serverMetrics = [serverFamilies]Metric{
	ServerPresence:         {Name: "meta_metric_server_presence", Help: "Boolean metric always set to 1 for the metric server process."},
	SandboxesBroken:        {Name: "meta_num_sandboxes_broken_metrics", Help: "Number of sandboxes from which we cannot export metrics."},
	SandboxesCheckpointed:  {Name: "meta_num_sandboxes_checkpointed", Help: "Number of sandboxes present that have been checkpointed."},
	SandboxesRestored:      {Name: "meta_num_sandboxes_restored", Help: "Number of sandboxes present that have been restored."},
	SandboxesRunning:       {Name: "meta_num_sandboxes_running", Help: "Number of sandboxes running at present."},
	SandboxesTotal:         {Name: "meta_num_sandboxes_total", Help: "Counter of sandboxes that have ever been started.", Type: Counter},
	SeriesLeftOut:          {Name: "meta_num_series_left_out", Help: "Number of series left out because sandboxes disagree on the type of the metric."},
	StateFilesUnreadable:   {Name: "meta_num_state_files_unreadable", Help: "Number of state files that cannot be read. Their sandboxes may be missing."},
	SandboxCapabilities:    {Name: "meta_sandbox_capabilities", Help: "Linux capabilities added within containers of the sandbox.", Open: true, SetLabels: []string{"capability"}, Greatest: true},
	SandboxCheckpointed:    {Name: "meta_sandbox_checkpointed", Help: "Boolean metric set to 1 for each checkpointed sandbox."},
	SandboxCPUSaved:        {Name: "meta_sandbox_cpu_time_saved_milliseconds", Help: "CPU time saved for each restored sandbox (in milliseconds).", Unit: Milliseconds},
	SandboxCreation:        {Name: "meta_sandbox_creation_time_seconds", Help: "When the sandbox was created, as a unix timestamp in seconds.", Float: true},
	SandboxFailure:         {Name: "meta_sandbox_failure", Help: "Reason why a running sandbox has no metrics, with value 1.", Open: true, SetLabels: []string{"reason"}, Greatest: true},
	SandboxMetadata:        {Name: "meta_sandbox_metadata", Help: "Key-value pairs about per-sandbox metadata.", Open: true, SetLabels: []string{"version", "platform", "network", "numcores", "coretags", "overlay", "fsmode", "cpuarch", "go", "experiment"}, Greatest: true},
	SandboxPresence:        {Name: "meta_sandbox_presence", Help: "Boolean metric set to 1 for each known sandbox."},
	SandboxRestored:        {Name: "meta_sandbox_restored", Help: "Boolean metric set to 1 for each restored sandbox."},
	SandboxRunning:         {Name: "meta_sandbox_running", Help: "Boolean metric set to 1 for each running sandbox."},
	SandboxWallSaved:       {Name: "meta_sandbox_wall_time_saved_milliseconds", Help: "Wall time saved for each restored sandbox (in milliseconds).", Unit: Milliseconds},
	SpecMetadata:           {Name: "meta_spec_metadata", Help: "Key-value pairs about OCI spec metadata.", Open: true, SetLabels: []string{"hasuid0", "nvproxy", "ociversion", "tpuproxy"}, Greatest: true},
	ProcessStart:           {Name: "process_start_time_seconds", Help: "Start time of the process since unix epoch in seconds.", Float: true, Whole: true},
	BuildInfo:              {Name: "sandmeter_build_info", Help: "Version of Sandmeter, and the Go version and platform it was built with, with value 1.", Whole: true, Open: true, SetLabels: []string{"goarch", "goos", "goversion", "version"}, Greatest: true},
	ConnectionsClosed:      {Name: "sandmeter_client_connections_closed_total", Help: "Counter of client connections that were closed because there were too many.", Type: Counter, Whole: true},
	CollectionDuration:     {Name: "sandmeter_collection_duration_seconds", Help: "Duration of the collection of this page, from listing the runtime roots to the last reply.", Float: true, Whole: true},
	CollectionQueries:      {Name: "sandmeter_collection_queries", Help: "Number of queries that the collection of this page sent to sandboxes.", Whole: true},
	CollectionReceived:     {Name: "sandmeter_collection_received_bytes", Help: "Number of bytes that the collection of this page received from sandboxes.", Whole: true},
	LogLinesDropped:        {Name: "sandmeter_log_lines_dropped_total", Help: "Counter of log lines that were dropped because the log output was too slow or failed.", Type: Counter, Whole: true},
	OverBudget:             {Name: "sandmeter_over_budget", Help: "Number of sandboxes without metrics because all sandboxes together exceed a budget.", Whole: true, Open: true, SetLabels: []string{"budget"}},
	ResponsesCutOff:        {Name: "sandmeter_responses_cut_off_total", Help: "Counter of responses that were cut off because the client read them too slowly.", Type: Counter, Whole: true},
	RootMissing:            {Name: "sandmeter_runtime_root_missing", Help: "Whether the runtime root does not exist (1) or does (0). A root that does not exist is not readable either.", Whole: true, Open: true, SetLabels: []string{"runtime_root"}},
	RootReadable:           {Name: "sandmeter_runtime_root_readable", Help: "Whether the last collection could read the runtime root (1) or not (0).", Whole: true, Open: true, SetLabels: []string{"runtime_root"}},
	RootsLeftOut:           {Name: "sandmeter_runtime_roots_left_out", Help: "Number of runtime roots that are not served because there are too many. Empty ones that a glob matches do not count.", Whole: true},
	SandboxEnd:             {Name: "sandmeter_sandbox_end_timestamp_seconds", Help: "When the server observed the end of the sandbox, as a unix timestamp in seconds. Present for sandboxes that have ended.", Float: true, Whole: true},
	SandboxLifetime:        {Name: "sandmeter_sandbox_lifetime_seconds", Help: "Time from the start of the sandbox's process to its end. Present for sandboxes that have ended, if the start is known.", Float: true, Whole: true},
	SandboxOutcome:         {Name: "sandmeter_sandbox_outcome", Help: "How the sandbox ended, with value 1. Present for sandboxes that have ended.", Whole: true, Open: true, SetLabels: []string{"exit_code", "outcome", "signal"}, Greatest: true},
	SandboxQueryDuration:   {Name: "sandmeter_sandbox_query_duration_seconds", Help: "Time from connecting to the sandbox to the end of its reply or its failure, in the last query.", Float: true, Whole: true},
	SandboxUp:              {Name: "sandmeter_sandbox_up", Help: "Whether the running sandbox has metrics (1) or not (0).", Whole: true},
	Sandboxes:              {Name: "sandmeter_sandboxes", Help: "Number of sandboxes by the result of the query for their metrics: ok, failed, or not_running.", Whole: true, Open: true, SetLabels: []string{"query_status"}},
	SandboxesFailed:        {Name: "sandmeter_sandboxes_failed", Help: "Number of running sandboxes without metrics, by reason.", Whole: true, Open: true, SetLabels: []string{"reason"}},
	SandboxesWithoutSeries: {Name: "sandmeter_sandboxes_without_series", Help: "Number of sandboxes without series of their own, by reason: unregistered, or series_limit (--max-sandboxes-with-series).", Whole: true, Open: true, SetLabels: []string{"reason"}},
	SnapshotTime:           {Name: "sandmeter_snapshot_timestamp_seconds", Help: "When the collection of this snapshot began, as a unix timestamp in seconds. Present if --max-age is set.", Float: true, Whole: true},
	InotifyOverflows:       {Name: "sandmeter_inotify_overflows_total", Help: "Counter of times that the kernel dropped events about state files. Sandboxes that lived for a moment may be missing.", Type: Counter, Whole: true},
	Unregistrations:        {Name: "sandmeter_unregistrations_total", Help: "Counter of sandboxes that clients have unregistered.", Type: Counter, Whole: true},
	FinalLogsRefused:       {Name: "sandmeter_final_metrics_logs_refused_total", Help: "Counter of final metrics logs that were refused, so that their sandboxes have the values of their last replies. Present with --final-metrics-log.", Type: Counter, Whole: true},
	FinalRecordsDropped:    {Name: "sandmeter_final_records_dropped_total", Help: "Counter of final records that were dropped because their file was too slow or failed. Present with --final-records.", Type: Counter, Whole: true},
	FinalRecordsWritten:    {Name: "sandmeter_final_records_written_total", Help: "Counter of final records that were written, one per sandbox that ended. Present with --final-records.", Type: Counter, Whole: true},
}

// builtin makes a schema of metrics that are sorted by name. It leaves out what only replies need,
// since no sandbox sends these metrics.
func builtin(metrics []Metric) *Schema {
	s := &Schema{Metrics: slices.Clone(metrics), Series: len(metrics)}
	for i := range s.Metrics {
		m := &s.Metrics[i]
		m.First, m.Series = uint32(i), 1
		m.LineSize = lineSize(m)
	}
	return s
}

// OfSandbox reports whether a metric of Server is about one sandbox, so that it has a series, or
// several, for each.
func OfSandbox(m *Metric) bool {
	return slices.ContainsFunc(ofSandbox, func(prefix string) bool { return strings.HasPrefix(m.Name, prefix) })
}

// ofSandbox begins the names of such metrics.
var ofSandbox = []string{"meta_sandbox_", "meta_spec_", "sandmeter_sandbox_"}
