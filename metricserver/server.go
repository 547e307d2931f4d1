package metricserver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/web"
)

// Defaults of Options.
const (
	DefaultExporterPrefix             = "runsc_"
	DefaultTelemetryPath              = web.DefaultMetricsPath
	DefaultSandboxTimeout             = 2 * time.Second
	DefaultSocketMode     fs.FileMode = 0o660
)

// lingerMax is how many sandboxes that have ended stay on the page at most.
const lingerMax = 1000

// Limits on the resources that a client can use.
const (
	// A client that sends requests in a loop must not keep every sandbox awake.
	maxCollectionsPerSecond = 20

	headerTimeout  = 5 * time.Second
	requestTimeout = 15 * time.Second
	answerTimeout  = 90 * time.Second // the longest scrape, and a client that reads the page slowly
	idleTimeout    = 2 * time.Minute
	maxHeader      = 64 << 10
	stopTimeout    = 5 * time.Second
	// Part of stopTimeout, for an accepted connection to send its request, and again to take the
	// response.
	lingerTimeout = 500 * time.Millisecond
)

// limits are the limits that tests change.
type limits struct {
	header, idle, stop, linger time.Duration
	connections                int // for all listeners together
}

// Options configure a Server. The zero value of each field selects its default.
type Options struct {
	// Roots are the runtime roots to serve: directories, or globs such as /run/containerd/runsc/*.
	// Globs are expanded again for each collection. At most 500 roots with sandboxes are served at a
	// time, and each directory only once. With more than one root, or a glob, the series of a sandbox have the
	// label runtime_root. Default: config.DefaultRootDir.
	Roots []string
	// Addresses are the addresses that Run listens on: host:port, :port, or the absolute path of a
	// Unix socket. %RUNTIME_ROOT% in an address stands for the first of Roots. There is no default;
	// Serve and Handler do not need an address.
	Addresses []string
	// WebConfigFile is a web configuration file in the format of the Prometheus exporter-toolkit.
	// It configures TLS, client certificates, passwords, the rate limit and headers for all
	// listeners of Run and Serve. The server reads the file, and the files that it refers to, again
	// for each connection and request; but turning TLS on or off, or changing the rate limit,
	// requires a restart. Default: plain HTTP without authentication.
	WebConfigFile string
	// Given are the settings as the user of the program gave them, by name, for the document at
	// /api/v1/status. It must not have secrets. Default: none.
	Given map[string]string
	// TelemetryPath is the path of the metrics. Default: DefaultTelemetryPath.
	TelemetryPath string
	// Version is the version of the program, for the page at /. Default: the page shows no version.
	Version string
	// MatchAddress limits the sandboxes to those that were created with the same --metric-server
	// address. %RUNTIME_ROOT% in either address stands for the runtime root of the sandbox.
	// Default: every sandbox.
	MatchAddress string
	// OnlyInstrumented serves only sandboxes that were created with a --metric-server address, for
	// which runsc writes a registration to the state file. Default: the server serves the others too,
	// and verifies their replies with the registration of another sandbox of the same build of runsc,
	// or with the output of `runsc metric-metadata`. With DropIn, it does not.
	OnlyInstrumented bool
	// Runsc are absolute paths of the runsc programs that the server may run for their registrations.
	// A program has to belong to root or to the user of the server, and nobody else may write it.
	// Default: the programs with which Docker and containerd on this host are configured, and runsc
	// in $PATH. Of these, the server runs only the one that started a sandbox.
	Runsc []string
	// RegistrationFile is a file with the output of `runsc metric-metadata`, for sandboxes whose
	// registration is not found otherwise. It is read once, when the server starts. Default: none.
	RegistrationFile string
	// ExporterPrefix is the prefix for the names of the metrics that sandboxes report, and of the
	// metrics that gVisor's own metric server also exports. Default: DefaultExporterPrefix.
	ExporterPrefix string
	// DropIn makes the server a drop-in replacement for gVisor's own metric server: an empty
	// ExporterPrefix means no prefix, OpenMetrics is not offered because it renames counters, and each
	// sample has the time at which it was taken.
	DropIn bool
	// MetricNaming decides the names and units of families. Default: PrometheusNaming, or
	// RunscNaming with DropIn.
	MetricNaming Naming
	// ZeroCounters shows counters without labels of their own as 0 that a sandbox did not send
	// because they are zero. Without the 0, increase() and rate() in Prometheus miss the first
	// increment. Default: pages only have counters above zero.
	ZeroCounters bool
	// ZeroCountersWithFields are the names of counters with labels of their own, without the prefix
	// and as runsc registers them, of which each possible series is shown as 0. Default: none.
	ZeroCountersWithFields []string
	// Usage selects what the server measures of each sandbox on the host, and under which names.
	// Default: UsageOwn, or UsageOff with DropIn.
	Usage Usage
	// UsageDetail also has each sandbox asked for the memory and the processes of each of its
	// containers, which takes one query per container. Not with UsageOff.
	UsageDetail bool
	// Linger is how long a sandbox that has ended stays on the page, as not running, with its outcome,
	// its counters and its lifetime, whether or not its state file remains. Of more than 1,000, the first
	// to have ended leave first. Default: 0, a sandbox leaves the page when it ends.
	Linger time.Duration
	// MetricAllow are regular expressions that match whole names of families, as they are on the page.
	// With at least one, pages have only families about sandboxes that one of them matches. Families
	// about the server itself, and totals, stay. Snapshots and the JSON API are not affected. Default:
	// all families.
	MetricAllow []string
	// MetricDeny are regular expressions like those of MetricAllow. Pages do not have the families
	// that one of them matches, even if MetricAllow does. Default: none.
	MetricDeny []string
	// MaxSandboxesWithSeries is how many sandboxes have series of their own. The oldest keep theirs.
	// The others are in the JSON API, in totals, and in the family sandmeter_sandboxes_without_series.
	// Default: 0, no limit.
	MaxSandboxesWithSeries int
	// FinalMetricsLog is the value of runsc's flag --final-metrics-log with which sandboxes are
	// created: an absolute path with %ID%. The server reads the file of a sandbox once, after the
	// process of the sandbox has ended, and verifies it like a reply. Default: the last metrics of a
	// sandbox are those of its last reply.
	FinalMetricsLog string
	// FinalRecords is the file to which the server appends one line of JSON per sandbox that ends;
	// docs/records.md describes it. It is a regular file, a FIFO, or - for standard output, and its
	// directory must exist. After another program has renamed the file, the next line goes to a new one.
	// Records are dropped and counted if the file cannot be written or its
	// reader is too slow; nothing else waits for them. The program has to ignore SIGPIPE if the
	// reader of standard output may exit. Default: no records.
	FinalRecords string
	// FinalRecordsMaxSize is the size in bytes that a regular file of FinalRecords does not exceed.
	// Before it would, the server renames it to FILE.1, replaces an earlier one with that, and begins
	// a new file. Negative: no limit. Default: DefaultFinalRecordsMaxSize.
	FinalRecordsMaxSize int64
	// TotalsBy groups the totals over all sandboxes, live and ended, which never fall while the server
	// runs: TotalsByNone, TotalsByNamespace, TotalsByAnnotation with the key of an annotation in the OCI
	// spec of root containers, or TotalsOff. There are at most 1,000 groups; the sandboxes of others are
	// in the group _other. Default: TotalsByNone; with DropIn and without TotalsMetrics, TotalsOff.
	TotalsBy string
	// TotalsMetrics are the names of registered counters that have totals, too, without the prefix and
	// as runsc registers them. At most 32. Default: none.
	TotalsMetrics []string
	// AllowUnknownRoot treats a single runtime root that does not exist as a root without
	// sandboxes. Any other reason why it cannot be read is still an error. With several roots, or a
	// glob, each root may be missing or unreadable regardless of this option. Default: a missing
	// root is an error.
	AllowUnknownRoot bool
	// DisableRegistering makes the server refuse requests to register and unregister sandboxes. By
	// default, every client that can read the metrics can do both, and so hide a sandbox until its ID
	// is used again.
	DisableRegistering bool
	// AllowProfiling serves CPU and heap profiles of the process to every client that can reach the
	// address.
	AllowProfiling bool
	// SandboxTimeout is the longest time that a single sandbox can delay a scrape. Default:
	// DefaultSandboxTimeout.
	SandboxTimeout time.Duration
	// MaxAge is the maximum age of a snapshot that the server may reuse for a request. Samples
	// carry the times of the snapshot. With MaxAge set, two Prometheus servers cost the sandboxes
	// one collection instead of two. Default: 0, every request gets a snapshot taken after the
	// request.
	MaxAge time.Duration
	// SocketMode is the mode of the Unix sockets among Addresses. Default: DefaultSocketMode.
	SocketMode fs.FileMode
	// SocketGroup is the name or ID of the group of these sockets. Default: the group of the
	// process.
	SocketGroup string
	// AllowedHosts are additional host names that the Host header may contain if Run or Serve
	// listens on a loopback address. On such an address, the server always allows IP addresses,
	// localhost and names below it, and the hosts in Addresses, and rejects other hosts with status
	// 403. This protects the metrics from web pages in a browser on this machine (DNS rebinding).
	// Names have no port.
	AllowedHosts []string
	// DropPrivileges makes the server remove CAP_NET_ADMIN from all threads of the process, once
	// everything that needs it is open, and before it reads a runtime root. Programs that use cgo keep
	// it. Only for programs that do nothing but serve. Default: the process keeps its capabilities.
	DropPrivileges bool
	// StartTime is the start time of the process, for process_start_time_seconds. Default: the time
	// of the call to New.
	StartTime time.Time
	// Logger logs each problem once, with the affected sandbox. Its handler must not block because
	// scrapes wait for it. Default: no logging.
	Logger *slog.Logger
	// LogLinesDropped returns the number of dropped log lines, for the counter
	// sandmeter_log_lines_dropped_total. It must be safe for concurrent use and must not block.
	// Default: the family is absent.
	LogLinesDropped func() int64
	// ProcessMetrics adds the process_* and go_* families of Prometheus's Go client about the process.
	// It has no effect with DropIn. Default: process_start_time_seconds only.
	ProcessMetrics bool
	// Listening is called with the listen addresses once the server listens on all of them. If it
	// returns an error, Run ends with this error. Default: no call.
	Listening func([]net.Addr) error
}

// A Naming decides the names and units of families. docs/metrics.md lists the names of both.
type Naming = page.Naming

// The namings.
const (
	// RunscNaming has the names and units of gVisor's own metric server.
	RunscNaming = page.RunscNaming
	// PrometheusNaming follows Prometheus's conventions: _total, seconds, _info.
	PrometheusNaming = page.PrometheusNaming
)

var validPrefix = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)

var validHost = regexp.MustCompile(`^[a-zA-Z0-9_.-]+$`)

// reservedPrefixes are the prefixes of families that do not come from sandboxes.
var reservedPrefixes = []string{"sandmeter_", "process_", "go_", "container_"}

// withDefaults returns the options with their defaults, or an error that lists all invalid options.
func (o Options) withDefaults() (Options, error) {
	if len(o.Roots) == 0 {
		o.Roots = []string{config.DefaultRootDir()}
	}
	if o.ExporterPrefix == "" && !o.DropIn {
		o.ExporterPrefix = DefaultExporterPrefix
	}
	if o.MetricNaming == "" {
		o.MetricNaming = PrometheusNaming
		if o.DropIn {
			o.MetricNaming = RunscNaming
		}
	}
	o.SandboxTimeout = cmp.Or(o.SandboxTimeout, DefaultSandboxTimeout)
	o.SocketMode = cmp.Or(o.SocketMode, DefaultSocketMode)
	o.Usage = cmp.Or(o.Usage, usageOf(o.DropIn))
	o.FinalRecordsMaxSize = cmp.Or(o.FinalRecordsMaxSize, DefaultFinalRecordsMaxSize)
	o.TotalsBy = cmp.Or(o.TotalsBy, o.totalsOf())
	if o.StartTime.IsZero() {
		o.StartTime = time.Now()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.TelemetryPath = cmp.Or(o.TelemetryPath, DefaultTelemetryPath)
	o.Addresses = slices.Clone(o.Addresses)
	for i, address := range o.Addresses {
		o.Addresses[i] = config.ExpandAddress(address, o.Roots[0])
	}
	return o, o.check()
}

// check returns an error that lists all invalid options.
func (o *Options) check() error {
	var errs []error
	wrong := func(is bool, format string, args ...any) {
		if is {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	for _, root := range o.Roots {
		_, err := filepath.Match(root, "")
		wrong(root == "", "a runtime root is empty: name a directory")
		wrong(err != nil, "runtime root %q is not a valid glob: escape [, * and ? with a backslash if they are part of a name", root)
	}
	wrong(o.ExporterPrefix != "" && !validPrefix.MatchString(o.ExporterPrefix),
		"exporter prefix %q makes names that Prometheus refuses: use letters, digits and underscores, no digit first", o.ExporterPrefix)
	for _, reserved := range reservedPrefixes {
		wrong(strings.HasPrefix(o.ExporterPrefix, reserved), "exporter prefix %q: names that begin with %s are reserved", o.ExporterPrefix, reserved)
	}
	wrong(o.MetricNaming != RunscNaming && o.MetricNaming != PrometheusNaming, "metric naming %q: choose %s or %s", o.MetricNaming, RunscNaming, PrometheusNaming)
	for _, path := range o.Runsc {
		wrong(!filepath.IsAbs(path), "runsc %q: give the absolute path of the program", path)
	}
	for _, name := range o.AllowedHosts {
		wrong(!validHost.MatchString(name), "allowed host %q: give a host name without port; IP addresses are always allowed", name)
	}
	err := web.CheckMetricsPath(o.TelemetryPath)
	wrong(err != nil, "telemetry path %q: %w", o.TelemetryPath, err)
	err = o.Usage.check()
	wrong(err != nil, "%w", err)
	err = o.checkRecords()
	wrong(err != nil, "%w", err)
	wrong(o.UsageDetail && o.Usage == UsageOff, "usage detail with usage off: use own, cadvisor or both")
	_, err = o.seriesRules()
	wrong(err != nil, "%w", err)
	wrong(o.MaxSandboxesWithSeries < 0, "maximum number of sandboxes with series %d: it must not be negative", o.MaxSandboxesWithSeries)
	if o.FinalMetricsLog != "" {
		err = config.CheckFinalMetricsLog(o.FinalMetricsLog)
		wrong(err != nil, "final metrics log %q: %w", o.FinalMetricsLog, err)
	}
	err = o.checkTotals()
	wrong(err != nil, "%w", err)
	wrong(o.SandboxTimeout < 0, "sandbox timeout %v: it must be positive", o.SandboxTimeout)
	wrong(o.Linger < 0, "linger time %v: it must not be negative", o.Linger)
	wrong(o.MaxAge < 0, "maximum age %v: it must not be negative", o.MaxAge)
	return errors.Join(errs...)
}

// A RootError means that the runtime root cannot be read at the start.
type RootError struct{ Err error }

func (e *RootError) Error() string { return e.Err.Error() }

// Unwrap returns the cause, an *fs.PathError.
func (e *RootError) Unwrap() error { return e.Err }

// A Server serves the metrics of the sandboxes in runtime roots. Its methods are safe for
// concurrent use. Each call of Run, Serve or Handler creates an independent server.
type Server struct {
	options Options
	limits  limits
}

// New returns a Server, or an error that lists all invalid options. It does not open anything.
func New(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Server{o, limits{headerTimeout, idleTimeout, stopTimeout, lingerTimeout, web.MaxConnections()}}, nil
}

// Run listens on Options.Addresses and serves until ctx is done, like Serve.
func (s *Server) Run(ctx context.Context) error {
	if len(s.options.Addresses) == 0 {
		return errors.New("no address to listen on: give host:port, :port or the absolute path of a Unix socket")
	}
	return s.run(ctx, func() ([]net.Listener, error) { return listenAll(&s.options) })
}

// Serve serves on listeners until ctx is done, and then returns nil. It returns an error if it
// cannot serve on one of the listeners, and a *RootError if a single runtime root cannot be read at the
// start. A root that is missing is an error with DropIn only, and without AllowUnknownRoot. When Serve returns, the
// listeners and everything that the server opened are closed. Requests in flight get a few seconds
// to finish.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	defer closeAll(listeners) // run does not close them if it fails before it calls listen
	if len(listeners) == 0 {
		return errors.New("no listener to serve on")
	}
	return s.run(ctx, func() ([]net.Listener, error) { return listeners, nil })
}

// run opens the collector, calls listen, and serves.
func (s *Server) run(ctx context.Context, listen func() ([]net.Listener, error)) error {
	if err := checkWebConfig(s.options.WebConfigFile); err != nil {
		return err
	}
	h, err := s.open()
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.collector.CheckRoot(); err != nil && !s.options.waitsFor(err) {
		return &RootError{err}
	}
	h.begin()
	listeners, err := listen()
	if err != nil {
		return err
	}
	defer closeAll(listeners)
	for _, addr := range addrsOf(listeners) {
		h.listeners = append(h.listeners, addr.String())
	}
	if s.options.Listening != nil {
		if err := s.options.Listening(addrsOf(listeners)); err != nil {
			return err
		}
	}
	return s.serve(ctx, listeners, h)
}

// waitsFor reports whether the server waits for a runtime root with an error at the start.
func (o *Options) waitsFor(err error) bool {
	return errors.Is(err, fs.ErrNotExist) && (o.AllowUnknownRoot || !o.DropIn)
}
