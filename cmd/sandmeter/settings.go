package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/metricserver"
)

var startTime = time.Now()

// settings are the flags shared by serve and metric-server.
type settings struct {
	metricserver.Options
	addressFlag   string // the flag that sets Addresses
	naming        string
	zeroCounters  string // on or off
	systemdSocket bool   // serve on the sockets of systemd instead of Addresses
	socketMode    string
	pidFile       string

	finalRecordsMaxMB int // 0: no limit

	ready func() // called when the server listens, if it is not nil
}

const defaultSocketMode = "0660"

const on, off = "on", "off"

const megabyte = 1_000_000 // bytes

func (s *settings) register(f *pflag.FlagSet) {
	cli.Choice(f, &s.zeroCounters, "zero-counters", "Show counters without labels of their own that are zero:", on, off)
	cli.Names(f, &s.ZeroCountersWithFields, "zero-counters-with-fields",
		"Show all series of these counters that are zero: `names` as runsc registers them, separated by commas. Repeatable.")
	f.BoolVar(&s.AllowProfiling, "allow-profiling", false, "Serve CPU and heap profiles of the server.")
	f.DurationVar(&s.SandboxTimeout, "sandbox-timeout", metricserver.DefaultSandboxTimeout, "Timeout for the reply of a sandbox.")
	f.DurationVar(&s.MaxAge, "max-age", 0, "Maximum age of a snapshot that is served again. 0 means never.")
	f.DurationVar(&s.Linger, "linger", s.Linger, "Time for which a sandbox stays on the page after its end, with its outcome and counters. 0 means none.")
	f.IntVar(&s.MaxSandboxesWithSeries, "max-sandboxes-with-series", 0,
		"Maximum `number` of sandboxes with series of their own; the oldest keep theirs. 0 means no limit.")
	cli.Patterns(f, &s.MetricAllow, "metric-allow",
		"Show only those families about sandboxes whose whole name this `regex` matches. Repeatable. (default: all)")
	cli.Patterns(f, &s.MetricDeny, "metric-deny", "Leave out families whose whole name this `regex` matches. Repeatable.")
	cli.Choice(f, (*string)(&s.Usage), "usage", "Measure each sandbox's CPU, memory and network on the host, under Sandmeter's own names, cAdvisor's, or both:",
		string(metricserver.UsageOwn), string(metricserver.UsageCadvisor), string(metricserver.UsageBoth), string(metricserver.UsageOff))
	f.BoolVar(&s.UsageDetail, "usage-detail", false, "Query each container of a sandbox for its memory and processes. Not with --usage=off.")
	f.StringVar(&s.FinalRecords, "final-records", "",
		"Append a line of JSON for each sandbox that ends to this `file`, or to standard output if it is -.")
	f.IntVar(&s.finalRecordsMaxMB, "final-records-max-size", metricserver.DefaultFinalRecordsMaxSize/megabyte,
		"Rename the file of --final-records to FILE.1 before it exceeds this number of `megabytes`. 0 means never.")
	f.StringVar(&s.TotalsBy, "totals-by", s.TotalsBy, s.totalsUsage())
	cli.Names(f, &s.TotalsMetrics, "totals-metric",
		"Add totals of these counters: `names` as runsc registers them, separated by commas. Repeatable.")
	cli.Names(f, &s.AllowedHosts, "web.allowed-hosts",
		"Additional host `names` to accept on loopback addresses, separated by commas. Repeatable.")
	f.StringVar(&s.socketMode, "web.socket-mode", defaultSocketMode, "File `mode` of a Unix socket.")
	f.StringVar(&s.SocketGroup, "web.socket-group", "", "Owning `group` of a Unix socket. (default: the group of the server)")
}

func (s *settings) totalsUsage() string {
	usage := "`Grouping` of the totals over all sandboxes, live and ended: none, namespace, annotation:KEY, or off for no totals."
	if s.TotalsBy == "" {
		usage += " (default: off, or none with totals-metric)"
	}
	return usage
}

// registerNaming adds the flag --metric-naming.
func registerNaming(f *pflag.FlagSet, naming *string) {
	cli.Choice(f, naming, "metric-naming", "Names and units of metrics, Prometheus's or gVisor's:",
		string(metricserver.PrometheusNaming), string(metricserver.RunscNaming))
}

// registerDropIn adds the flags of metric-server: the shared ones, and what only gVisor's command line has.
func (s *settings) registerDropIn(f *pflag.FlagSet) {
	s.register(f)
	f.StringVar(&s.ExporterPrefix, "exporter-prefix", metricserver.DefaultExporterPrefix, "Common `prefix` of all metric names.")
	f.BoolVar(&s.AllowUnknownRoot, "allow-unknown-root", false, "Start without the runtime root.")
	f.StringVar(&s.pidFile, "pid-file", "", "Write the process ID to this `file` while the server listens.")
}

// goFlags returns the flags of metric-server in Go flag syntax.
func (s *settings) goFlags() *flag.FlagSet {
	all := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.registerDropIn(all)
	return cli.GoFlags(config.MetricServerCommand, all)
}

// defaultLinger is how long sandboxes that have ended stay on the page of serve: with the usual scrape
// intervals, every scraper sees each end.
const defaultLinger = 5 * time.Minute

// gcPercent is the garbage collection target unless $GOGC is set. Scrapes produce little garbage,
// so a lower target than Go's 100 saves memory at no measurable cost: see docs/performance.md.
const gcPercent = 25

// serve runs a server with the settings until ctx is done, and logs the result. Invalid settings
// are a usage error.
func (s *settings) serve(ctx context.Context, log *serverLog) error {
	s.Logger, s.LogLinesDropped, s.DropPrivileges = log.Logger, log.dropped, true
	return log.end(ctx, s.serveUntil(ctx))
}

func (s *settings) serveUntil(ctx context.Context) error {
	// If the reader of standard error has exited, the next log line must not kill the server.
	signal.Ignore(syscall.SIGPIPE)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	o, err := s.check()
	if err != nil {
		return err
	}
	o.StartTime, o.Version = startTime, programVersion()
	var wrotePID bool
	o.Listening = func(addrs []net.Addr) error {
		if s.pidFile != "" {
			if err := writePIDFile(s.pidFile); err != nil {
				return err
			}
			wrotePID = true
		}
		announce(o, addrs)
		if s.ready != nil {
			s.ready()
		}
		return nil
	}
	server, err := metricserver.New(o)
	if err != nil {
		return cli.Usage(err)
	}
	err = s.listen(ctx, server)
	if wrotePID {
		err = errors.Join(err, removePIDFile(s.pidFile))
	}
	if _, ok := errors.AsType[*metricserver.RootError](err); ok {
		var more string
		if errors.Is(err, fs.ErrNotExist) {
			more = ", or allow a missing one with --allow-unknown-root"
		}
		err = explainRoot(err, more)
	}
	return err
}

// listen runs the server on the sockets of systemd, or on its own sockets.
func (s *settings) listen(ctx context.Context, server *metricserver.Server) error {
	if !s.systemdSocket {
		return server.Run(ctx)
	}
	listeners, err := systemdListeners()
	if err != nil {
		return err
	}
	return server.Serve(ctx, listeners...)
}

// check returns the options of the server, or a usage error.
func (s *settings) check() (metricserver.Options, error) {
	o := s.Options
	if s.systemdSocket {
		o.Addresses = nil
	}
	for _, address := range o.Addresses {
		if err := checkAddress(s.addressFlag, address); err != nil {
			return o, err
		}
	}
	mode, err := strconv.ParseUint(s.socketMode, 8, 9)
	switch {
	case err != nil || mode == 0:
		return o, cli.Usagef("--web.socket-mode %q: give an octal number such as 0660", s.socketMode)
	case !slices.ContainsFunc(o.Addresses, isSocket) && (s.socketMode != defaultSocketMode || o.SocketGroup != ""):
		return o, cli.Usagef("--web.socket-mode and --web.socket-group are for a Unix socket: leave them out, or give its absolute path as %s", s.addressFlag)
	}
	if s.finalRecordsMaxMB < 0 {
		return o, cli.Usagef("--final-records-max-size %d: must not be negative", s.finalRecordsMaxMB)
	}
	o.FinalRecordsMaxSize = int64(s.finalRecordsMaxMB) * megabyte
	if o.FinalRecordsMaxSize == 0 {
		o.FinalRecordsMaxSize = -1 // no limit
	}
	o.SocketMode = fs.FileMode(mode)
	o.MetricNaming = metricserver.Naming(s.naming)
	o.ZeroCounters = s.zeroCounters == on
	return fromFlags(o)
}

// fromFlags checks options from flags. A timeout of 0 is an error, although as an option it means the
// default.
func fromFlags(o metricserver.Options) (metricserver.Options, error) {
	if o.SandboxTimeout <= 0 {
		return o, cli.Usagef("sandbox timeout %v: it must be positive", o.SandboxTimeout)
	}
	return o, absolute(o.Runsc)
}

// explainRoot adds advice to a runtime root error: fix the permissions, or set --root, followed by
// more.
func explainRoot(err error, more string) error {
	return fmt.Errorf("%w; %s", err, cmp.Or(cli.PermissionAdvice(err), "set the runtime root with --root"+more+suggestRoots(err)))
}

// announce logs the served sandboxes and addresses. It warns about TCP listeners on all interfaces
// without a web configuration file, and about profiling.
func announce(o metricserver.Options, addrs []net.Addr) {
	what := "every sandbox"
	if o.OnlyInstrumented {
		what = "every sandbox with a registration"
	}
	if o.MatchAddress != "" {
		what = "sandboxes created with --metric-server=" + o.MatchAddress
	}
	var addresses, urls, open []string
	for _, addr := range addrs {
		addresses = append(addresses, addr.String())
		if tcp, ok := addr.(*net.TCPAddr); ok && o.WebConfigFile == "" {
			urls = append(urls, "http://"+addr.String()+cmp.Or(o.TelemetryPath, metricserver.DefaultTelemetryPath))
			if tcp.IP.IsUnspecified() {
				open = append(open, addr.String())
			}
		}
	}
	facts := []any{"root", strings.Join(o.Roots, ","), "sandboxes", what, "address", strings.Join(addresses, ","), "version", programVersion()}
	switch {
	case o.WebConfigFile != "":
		facts = append(facts, "web_config", o.WebConfigFile)
	case len(urls) > 0:
		facts = append(facts, "url", strings.Join(urls, ","))
	}
	o.Logger.Info("Serving", facts...)
	if len(open) > 0 {
		o.Logger.Warn("Metrics are readable by every host that can reach this machine: listen on localhost, or require passwords or client "+
			"certificates with --web.config.file", "address", strings.Join(open, ","))
	}
	if len(open) > 0 && !o.DisableRegistering {
		o.Logger.Warn("Every host that can reach this machine can unregister sandboxes, which hides them", "address", strings.Join(open, ","))
	}
	if o.AllowProfiling {
		o.Logger.Warn("Profiles are available to all clients that can read the metrics")
	}
}
