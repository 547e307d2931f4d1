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
	"github.com/sandmeter/sandmeter/internal/web"
)

// Defaults of Options.
const (
	DefaultExporterPrefix             = "runsc_"
	DefaultTelemetryPath              = web.DefaultMetricsPath
	DefaultSandboxTimeout             = 2 * time.Second
	DefaultSocketMode     fs.FileMode = 0o660

	DefaultMaxCollectionsPerSecond = 20
)

// Limits of what a client may cost.
const (
	headerTimeout  = 5 * time.Second
	requestTimeout = 15 * time.Second
	answerTimeout  = 90 * time.Second // the longest scrape, and a slow reader of its page
	idleTimeout    = 2 * time.Minute
	maxHeader      = 64 << 10
	stopTimeout    = 5 * time.Second
	lingerTimeout  = 500 * time.Millisecond // of it, for connections that no request is under way on
)

// limits are those that tests change.
type limits struct {
	header, idle, stop time.Duration
	connections        int // of all listeners together
}

// Options say what a Server serves and where. The zero value of each is its default.
type Options struct {
	// Roots are the runtime roots whose sandboxes are served: directories, and globs such as /run/containerd/runsc/*, which are evaluated again
	// for each collection. At most 64 are served at a time, each directory once. If there is more than one, or a glob, the series of a
	// sandbox have the label runtime_root. Default: config.DefaultRootDir.
	Roots []string
	// Addresses are where Run listens, each of them host:port, :port, or the absolute path of a Unix socket. %RUNTIME_ROOT% in one stands for
	// the first of Roots. There is no default; Serve and Handler do not need any.
	Addresses []string
	// WebConfigFile is a file in the format of Prometheus's exporter-toolkit, which says for Run and Serve with what TLS, client certificates,
	// passwords, rate limit and headers they serve, on every listener. The file, and what it names, is read again for each connection and
	// request; only whether there is TLS at all, and the rate limit, stay as they were. Default: plain HTTP for everyone who can connect.
	WebConfigFile string
	// TelemetryPath is the path of the metrics. Default: DefaultTelemetryPath.
	TelemetryPath string
	// Version is that of the program, for the page at /. Default: the page has none.
	Version string
	// MatchAddress limits the sandboxes to those that were created with an equal --metric-server; %RUNTIME_ROOT% in either stands for the
	// sandbox's root. Default: every sandbox that registered metrics.
	MatchAddress string
	// ExporterPrefix begins the names of the metrics that sandboxes report, and of those that gVisor's own metric server has too. Default:
	// DefaultExporterPrefix.
	ExporterPrefix string
	// DropIn serves what gVisor's own metric server serves: an empty ExporterPrefix stands for none, and OpenMetrics is not offered, since
	// its counters have other names.
	DropIn bool
	// CreatedSeries adds to OpenMetrics pages, for each counter and histogram, a series NAME_created with the time at which it was 0. Clients
	// of the protobuf format get these times in any case.
	CreatedSeries bool
	// KeepEnded keeps a sandbox whose process has ended on the page, as not running, until runsc deletes its state file. Default: it leaves
	// the page when its process ends.
	KeepEnded bool
	// AllowUnknownRoot makes a single root that does not exist one without sandboxes, rather than an error. That it cannot be read for
	// another reason is an error all the same. Of several, or a glob, each may be missing or unreadable.
	AllowUnknownRoot bool
	// AllowProfiling serves CPU and heap profiles of the process to everybody who can reach the address.
	AllowProfiling bool
	// SandboxTimeout is how long a single sandbox can hold up a scrape. Default: DefaultSandboxTimeout.
	SandboxTimeout time.Duration
	// MaxAge lets a request be served from a snapshot that was taken at most so long before, with the snapshot's times on its samples. So
	// two Prometheus servers cost the sandboxes one collection instead of two. Default: 0, every request gets a snapshot taken after it.
	MaxAge time.Duration
	// MaxCollectionsPerSecond limits how many collections begin per second, so that a client that asks in a loop cannot keep every sandbox
	// awake; requests that have to wait for one share it. Default: DefaultMaxCollectionsPerSecond.
	MaxCollectionsPerSecond int
	// SocketMode is the mode of the Unix sockets among Addresses. Default: DefaultSocketMode.
	SocketMode fs.FileMode
	// SocketGroup is the name or ID of the group that these sockets belong to. Default: that of the process.
	SocketGroup string
	// AllowedHosts are more host names that the Host header of a request may have if Run or Serve listens on a loopback address. There, they
	// refuse with status 403 what has neither an IP address in it, nor localhost or a name below it, nor the host of one of Addresses: this
	// protects the metrics from web pages in a browser on this machine (DNS rebinding). Names have no port.
	AllowedHosts []string
	// StartTime is when the process started, for process_start_time_seconds. Default: when New was called.
	StartTime time.Time
	// Logger is told what goes wrong, with which sandbox, once. Its handler must not block, since scrapes would wait for it. Default: nobody.
	Logger *slog.Logger
	// LogLinesDropped returns how many lines the log lacks, for the counter sandmeter_log_lines_dropped_total. It must be safe for concurrent
	// use and not block. Default: there is no such family.
	LogLinesDropped func() int64
	// Listening is called once the server listens on all addresses, with these. An error ends Run. Default: nothing is called.
	Listening func([]net.Addr) error
}

var validPrefix = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)

var validHost = regexp.MustCompile(`^[a-zA-Z0-9_.-]+$`)

// reservedPrefixes begin the names of families that are not a sandbox's.
var reservedPrefixes = []string{"sandmeter_", "process_", "go_", "container_"}

// withDefaults returns the options with their defaults, or says all that is wrong with them.
func (o Options) withDefaults() (Options, error) {
	if len(o.Roots) == 0 {
		o.Roots = []string{config.DefaultRootDir()}
	}
	if o.ExporterPrefix == "" && !o.DropIn {
		o.ExporterPrefix = DefaultExporterPrefix
	}
	o.SandboxTimeout = cmp.Or(o.SandboxTimeout, DefaultSandboxTimeout)
	o.MaxCollectionsPerSecond = cmp.Or(o.MaxCollectionsPerSecond, DefaultMaxCollectionsPerSecond)
	o.SocketMode = cmp.Or(o.SocketMode, DefaultSocketMode)
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

// check returns all that is wrong with the options.
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
	for _, name := range o.AllowedHosts {
		wrong(!validHost.MatchString(name), "allowed host %q: give a host name without port; IP addresses are always allowed", name)
	}
	err := web.CheckMetricsPath(o.TelemetryPath)
	wrong(err != nil, "telemetry path %q: %w", o.TelemetryPath, err)
	wrong(o.SandboxTimeout < 0, "sandbox timeout %v: it has to be positive", o.SandboxTimeout)
	wrong(o.MaxCollectionsPerSecond < 0, "%d collections per second: it has to be positive", o.MaxCollectionsPerSecond)
	wrong(o.MaxAge < 0, "maximum age %v: it must not be negative", o.MaxAge)
	return errors.Join(errs...)
}

// A RootError says that the runtime root cannot be read, at the start or any more.
type RootError struct{ Err error }

func (e *RootError) Error() string { return e.Err.Error() }

// Unwrap returns the reason, an *fs.PathError.
func (e *RootError) Unwrap() error { return e.Err }

// A Server serves the metrics of the sandboxes of runtime roots. Its methods are safe for concurrent use; each call of Run, Serve or Handler
// has a server of its own, which knows nothing of the others.
type Server struct {
	options Options
	limits  limits
}

// New returns a Server, or an error that says all that is wrong with the options. Nothing is opened yet.
func New(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Server{o, limits{headerTimeout, idleTimeout, stopTimeout, web.MaxConnections()}}, nil
}

// Run listens on Options.Addresses and serves until ctx is done, as Serve does.
func (s *Server) Run(ctx context.Context) error {
	if len(s.options.Addresses) == 0 {
		return errors.New("no address to listen on: give host:port, :port or the absolute path of a Unix socket")
	}
	return s.run(ctx, func() ([]net.Listener, error) { return listenAll(&s.options) })
}

// Serve serves on listeners until ctx is done, and returns nil then. It returns an error when it cannot serve on each of them, and a *RootError
// when a single runtime root cannot be read, at the start or later, unless Options.AllowUnknownRoot says that it may be missing. The listeners,
// and all that the server opened, are closed when it returns; requests under way get some seconds to end.
func (s *Server) Serve(ctx context.Context, listeners ...net.Listener) error {
	defer closeAll(listeners) // they were not served if the root cannot be read
	if len(listeners) == 0 {
		return errors.New("no listener to serve on")
	}
	return s.run(ctx, func() ([]net.Listener, error) { return listeners, nil })
}

// run opens, listens and serves.
func (s *Server) run(ctx context.Context, listen func() ([]net.Listener, error)) error {
	if err := checkWebConfig(s.options.WebConfigFile); err != nil {
		return err
	}
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	h, err := s.open(lost)
	if err != nil {
		return err
	}
	defer h.Close()
	if err := h.collector.CheckRoot(); err != nil {
		return &RootError{err}
	}
	listeners, err := listen()
	if err != nil {
		return err
	}
	defer closeAll(listeners)
	if s.options.Listening != nil {
		if err := s.options.Listening(addrsOf(listeners)); err != nil {
			return err
		}
	}
	if err := s.serve(ctx, listeners, h.web); err != nil {
		return err
	}
	if root, ok := errors.AsType[*RootError](context.Cause(ctx)); ok {
		return root
	}
	return nil
}
