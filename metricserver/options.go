package metricserver

import (
	"cmp"
	"io/fs"
	"log/slog"
	"net"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/config"
)

// Defaults of Options.
const (
	DefaultExporterPrefix             = "runsc_"
	DefaultTelemetryPath              = "/metrics"
	DefaultSandboxTimeout             = 2 * time.Second
	DefaultSocketMode     fs.FileMode = 0o660
)

// Values of Options.
const (
	// RunscOff of Runsc serves only sandboxes with a registration in their state file, and runs no program.
	RunscOff = "off"

	// RunscNaming of MetricNaming has the names and units of gVisor's own metric server.
	RunscNaming = "runsc"
	// PrometheusNaming of MetricNaming follows Prometheus's conventions: _total, seconds, _info.
	PrometheusNaming = "prometheus"

	// ZeroCountersAll of ZeroCounters selects all counters without labels of their own.
	ZeroCountersAll = "all"
	// ZeroCountersOff of ZeroCounters selects none.
	ZeroCountersOff = "off"

	// UsageOff of Usage measures nothing.
	UsageOff = "off"
	// UsageOwn of Usage has families with names that begin with sandmeter_.
	UsageOwn = "own"
	// UsageCadvisor of Usage has the names and labels of cAdvisor, which Kubernetes has for containers of
	// other runtimes. kubelet with the feature gate PodAndContainerStatsFromCRI may have the same series.
	UsageCadvisor = "cadvisor"
	// UsageDetail of Usage also queries each container of a sandbox for its memory and processes.
	UsageDetail = "detail"

	// TotalsOff of TotalsBy has no totals.
	TotalsOff = "off"
	// TotalsByNone of TotalsBy has totals over all sandboxes.
	TotalsByNone = "none"
	// TotalsByNamespace of TotalsBy has totals for each Kubernetes namespace.
	TotalsByNamespace = "namespace"
	// TotalsByAnnotation of TotalsBy is followed by the key of an annotation, and has totals for each of its
	// values.
	TotalsByAnnotation = "annotation:"
)

// Options configure a Server. The zero value of each field selects its default. Those that are also flags of the
// program are in the list that Settings returns.
type Options struct {
	// Which sandboxes the server serves, and how it queries them.

	// Roots are the runtime roots to serve: directories, or globs such as /run/containerd/runsc/*.
	// Globs are expanded again for each collection. At most 500 roots with sandboxes are served at a
	// time, and each directory only once. With more than one root, or a glob, the series of a sandbox have the
	// label runtime_root. Default: config.DefaultRootDir.
	Roots []string
	// AllowUnknownRoot treats a single runtime root that does not exist as a root without
	// sandboxes. Any other reason why it cannot be read is still an error. With several roots, or a
	// glob, each root may be missing or unreadable regardless of this option. Default: with DropIn, a missing
	// root is an error.
	AllowUnknownRoot bool
	// MatchAddress limits the sandboxes to those that were created with the same --metric-server
	// address. %RUNTIME_ROOT% in either address stands for the runtime root of the sandbox.
	// Default: every sandbox.
	MatchAddress string
	// Runsc are runsc programs from which the server may take registrations for sandboxes that have none in
	// their state file. A program has to belong to root or to the user of the server, and nobody else may write
	// it. One of them may be a file that is not executable, with the output of `runsc metric-metadata`: it is read once, when
	// the server starts, and used if there is no other registration. RunscOff excludes such sandboxes. Default:
	// the programs with which Docker and containerd on this host are configured, and runsc in $PATH. Of these,
	// the server runs only the one that started a sandbox. With DropIn, it runs none.
	Runsc []string
	// SandboxTimeout is the longest time that a single sandbox can delay a scrape. Default:
	// DefaultSandboxTimeout.
	SandboxTimeout time.Duration
	// MaxAge is the maximum age of a snapshot that the server may reuse for a request. Samples
	// carry the times of the snapshot. With MaxAge set, two Prometheus servers cost the sandboxes
	// one collection instead of two. Default: 0, every request gets a snapshot taken after the
	// request.
	MaxAge time.Duration

	// Where the server listens, and what clients can do.

	// Addresses are the addresses that Run listens on: host:port, :port, or the absolute path of a
	// Unix socket. %RUNTIME_ROOT% in an address stands for the first of Roots. There is no default;
	// Serve and Handler do not need an address.
	Addresses []string
	// SocketMode is the mode of the Unix sockets among Addresses. Default: DefaultSocketMode.
	SocketMode fs.FileMode
	// SocketGroup is the name or ID of the group of these sockets. Default: the group of the
	// process.
	SocketGroup string
	// WebConfigFile is a web configuration file in the format of the Prometheus exporter-toolkit.
	// It configures TLS, client certificates, passwords, the rate limit and headers for all
	// listeners of Run and Serve. The server reads the file, and the files that it refers to, again
	// for each connection and request; but turning TLS on or off, or changing the rate limit,
	// requires a restart. Default: plain HTTP without authentication.
	WebConfigFile string
	// TelemetryPath is the path of the metrics. Default: DefaultTelemetryPath.
	TelemetryPath string
	// AllowedHosts are additional host names that the Host header may contain if Run or Serve
	// listens on a loopback address. On such an address, the server always allows IP addresses,
	// localhost and names below it, and the hosts in Addresses, and rejects other hosts with status
	// 403. This protects the metrics from web pages in a browser on this machine (DNS rebinding).
	// Names have no port.
	AllowedHosts []string
	// EnableRegistering lets every client that can read the metrics register sandboxes, and unregister them,
	// which hides them. Default: such requests are refused.
	EnableRegistering bool
	// AllowProfiling serves CPU and heap profiles of the process to every client that can reach the
	// address.
	AllowProfiling bool
	// Listening is called with the listen addresses once the server listens on all of them. If it
	// returns an error, Run ends with this error. Default: no call.
	Listening func([]net.Addr) error

	// Which families pages have, and how they are named.

	// DropIn makes the server a drop-in replacement for gVisor's own metric server: an empty
	// ExporterPrefix means no prefix, OpenMetrics is not offered because it renames counters, and each
	// sample has the time at which it was taken.
	DropIn bool
	// MetricNaming is PrometheusNaming or RunscNaming; docs/metrics.md lists the names of both. Default:
	// PrometheusNaming, or RunscNaming with DropIn.
	MetricNaming string
	// ExporterPrefix is the prefix for the names of the metrics that sandboxes report, and of the
	// metrics that gVisor's own metric server also exports. Default: DefaultExporterPrefix.
	ExporterPrefix string
	// MetricAllow are regular expressions that match whole names of families, as they are on the page.
	// With at least one, pages have only families about sandboxes that one of them matches. Families
	// about the server itself, and totals, stay. Snapshots and the JSON API are not affected. Default:
	// all families.
	MetricAllow []string
	// MetricDeny are regular expressions, like MetricAllow. Pages do not have the families
	// that one of them matches, even if MetricAllow does. Default: none.
	MetricDeny []string
	// ZeroCounters are the counters that pages show as 0 if a sandbox did not send them because they are zero.
	// Without the 0, increase() and rate() in Prometheus miss the first increment. They are ZeroCountersAll
	// and names, without the prefix and as runsc registers them, of counters with labels of their own, of which
	// each possible series is shown; or ZeroCountersOff. Default: ZeroCountersOff.
	ZeroCounters []string
	// MaxSandboxesWithSeries is how many sandboxes have series of their own. The oldest keep theirs.
	// The others are in the JSON API, in totals, and in the family sandmeter_sandboxes_without_series.
	// Default: 0, no limit.
	MaxSandboxesWithSeries int
	// ProcessMetrics adds the process_* and go_* families of Prometheus's Go client about the process.
	// It has no effect with DropIn. Default: process_start_time_seconds only.
	ProcessMetrics bool

	// Measurements on the host.

	// Usage is UsageOff, or selects the families about each sandbox's CPU time, memory, threads, pressure and
	// network: UsageOwn or UsageCadvisor, or both, and UsageDetail. The server reads /proc and the cgroups of the
	// sandboxes, with every collection. A sandbox with its own cgroup is also asked for the CPU time of its containers,
	// and its CPU time is split among them. Default: UsageOwn, or UsageOff with DropIn.
	Usage []string

	// What remains of a sandbox that has ended.

	// Linger is how long a sandbox that has ended stays on the page, as not running, with its outcome,
	// its counters and its lifetime, whether or not its state file remains. Of more than 1,000, the first
	// to have ended leave first. Default: 0, a sandbox leaves the page when it ends.
	Linger time.Duration
	// FinalMetricsLog is the value of runsc's flag --final-metrics-log with which sandboxes are
	// created: an absolute path with %ID%. The server reads the file of a sandbox once, after the
	// process of the sandbox has ended, and verifies it like a reply. Default: the last metrics of a
	// sandbox are those of its last reply.
	FinalMetricsLog string

	// Totals and records.

	// TotalsBy groups the totals over all sandboxes, live and ended, which never fall while the server
	// runs: TotalsByNone, TotalsByNamespace, TotalsByAnnotation with the key of an annotation in the OCI
	// spec of root containers, or TotalsOff. There are at most 1,000 groups; the sandboxes of others are
	// in the group _other. Default: TotalsByNone; with DropIn and without TotalsMetrics, TotalsOff.
	TotalsBy string
	// TotalsMetrics are the names of registered counters that have totals, too, without the prefix and
	// as runsc registers them. At most 32. Default: none.
	TotalsMetrics []string
	// FinalRecords is the file to which the server appends one line of JSON per sandbox that ends;
	// docs/records.md describes it. It is a regular file, a FIFO, or - for standard output, and its
	// directory must exist. After another program has renamed the file, the next line goes to a new one. Before
	// a regular file exceeds 100 MB, the server renames it to FILE.1, replaces an earlier one with that, and
	// begins a new file; ",max-size=N" after its name sets another size in MB, and 0 means no limit. Records
	// are dropped and counted if the file cannot be written or its reader is too slow; nothing else waits for
	// them. The program has to ignore SIGPIPE if the reader of standard output may exit. Default: no records.
	FinalRecords string

	// The log, and the server's own families.

	// Logger logs each problem once, with the affected sandbox. Its handler must not block because
	// scrapes wait for it. Default: no logging.
	Logger *slog.Logger
	// LogLinesDropped returns the number of dropped log lines, for the counter
	// sandmeter_log_lines_dropped_total. It must be safe for concurrent use and must not block.
	// Default: the family is absent.
	LogLinesDropped func() int64
	// Version is the version of the program, for the page at /. Default: the page shows no version.
	Version string
	// DropPrivileges makes the server remove CAP_NET_ADMIN from all threads of the process, once
	// everything that needs it is open, and before it reads a runtime root. Programs that use cgo keep
	// it. Only for programs that do nothing but serve. Default: the process keeps its capabilities.
	DropPrivileges bool
	// StartTime is the start time of the process, for process_start_time_seconds. Default: the time
	// of the call to New.
	StartTime time.Time
	// Given are the settings as the user of the program gave them, by name, for the document at
	// /api/v1/status. It must not have secrets. Default: none.
	Given map[string]string
}

// setDefaults replaces zero values by defaults.
func (o *Options) setDefaults() {
	naming, usage := PrometheusNaming, UsageOwn
	if o.DropIn {
		naming, usage = RunscNaming, UsageOff
	} else {
		o.ExporterPrefix = cmp.Or(o.ExporterPrefix, DefaultExporterPrefix)
	}
	o.MetricNaming = cmp.Or(o.MetricNaming, naming)
	o.TelemetryPath = cmp.Or(o.TelemetryPath, DefaultTelemetryPath)
	o.SandboxTimeout = cmp.Or(o.SandboxTimeout, DefaultSandboxTimeout)
	o.SocketMode = cmp.Or(o.SocketMode, DefaultSocketMode)
	for list, value := range map[*[]string]string{&o.Roots: config.DefaultRootDir(), &o.Usage: usage, &o.ZeroCounters: ZeroCountersOff} {
		if len(*list) == 0 {
			*list = []string{value}
		}
	}
}

// withDefaults returns the options with their defaults, or an error that lists all invalid options.
func (o Options) withDefaults() (Options, error) {
	o.setDefaults()
	if o.DropIn && len(o.TotalsMetrics) == 0 {
		o.TotalsBy = cmp.Or(o.TotalsBy, TotalsOff)
	}
	o.TotalsBy = cmp.Or(o.TotalsBy, TotalsByNone)
	if o.StartTime.IsZero() {
		o.StartTime = time.Now()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	err := o.check()
	o.Addresses = slices.Clone(o.Addresses)
	for i, address := range o.Addresses {
		o.Addresses[i] = config.ExpandAddress(address, o.Roots[0])
	}
	return o, err
}
