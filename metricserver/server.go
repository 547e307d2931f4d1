package metricserver

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"regexp"
	"sync"
	"time"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/web"
)

// Defaults of Options.
const (
	DefaultExporterPrefix             = "runsc_"
	DefaultSandboxTimeout             = 2 * time.Second
	DefaultSocketMode     fs.FileMode = 0o660
)

// NoExporterPrefix stands for the empty prefix in Options, whose zero value has the default.
const NoExporterPrefix = " "

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

// Options say what a Server serves and where.
type Options struct {
	// RootDir is the runtime root whose sandboxes are served. Default: config.DefaultRootDir.
	RootDir string
	// Address is where to listen: host:port, :port, or the absolute path of a Unix socket. %RUNTIME_ROOT% in it stands for RootDir. It
	// has no default.
	Address string
	// MatchAddress limits the sandboxes to those that were created with an equal --metric-server; %RUNTIME_ROOT% in either stands for
	// RootDir. Default: every sandbox of the root that registered metrics.
	MatchAddress string
	// ExporterPrefix begins the names of all metrics but process_start_time_seconds. Default: DefaultExporterPrefix;
	// NoExporterPrefix stands for none.
	ExporterPrefix string
	// AllowUnknownRoot makes a runtime root that is missing or cannot be read one without sandboxes, rather than an error.
	AllowUnknownRoot bool
	// AllowProfiling serves CPU and heap profiles of the process to everybody who can reach the address.
	AllowProfiling bool
	// SandboxTimeout is how long a single sandbox can hold up a scrape. Default: DefaultSandboxTimeout.
	SandboxTimeout time.Duration
	// MaxAge lets a request be served from a snapshot that was taken at most so long before, with the snapshot's times on its samples. So
	// two Prometheus servers cost the sandboxes one collection instead of two. Default: 0, every request gets a snapshot taken after it.
	MaxAge time.Duration
	// SocketMode is the mode of a Unix socket. Default: DefaultSocketMode.
	SocketMode fs.FileMode
	// SocketGroup is the name or ID of the group that a Unix socket belongs to. Default: that of the process.
	SocketGroup string
	// StartTime is when the process started, for process_start_time_seconds. Default: when New was called.
	StartTime time.Time
	// Logger is told what goes wrong, with which sandbox, once. Default: nobody.
	Logger *slog.Logger
	// Listening is called once the server listens, with the address. An error ends Run. Default: nothing is called.
	Listening func(net.Addr) error
}

var validPrefix = regexp.MustCompile(`^[a-zA-Z_:][a-zA-Z0-9_:]*$`)

// withDefaults returns the options with what was left out, or says what is wrong with them.
func (o Options) withDefaults() (Options, error) {
	if o.RootDir == "" {
		o.RootDir = config.DefaultRootDir()
	}
	if o.Address == "" {
		return o, errors.New("no address to listen on: give host:port, :port or the absolute path of a Unix socket")
	}
	o.Address = config.ExpandAddress(o.Address, o.RootDir)
	o.MatchAddress = config.ExpandAddress(o.MatchAddress, o.RootDir)
	switch o.ExporterPrefix {
	case "":
		o.ExporterPrefix = DefaultExporterPrefix
	case NoExporterPrefix:
		o.ExporterPrefix = ""
	}
	if o.ExporterPrefix != "" && !validPrefix.MatchString(o.ExporterPrefix) {
		return o, fmt.Errorf("exporter prefix %q makes names that Prometheus refuses: use letters, digits and underscores, no digit first", o.ExporterPrefix)
	}
	if o.SandboxTimeout == 0 {
		o.SandboxTimeout = DefaultSandboxTimeout
	}
	if o.SandboxTimeout < 0 {
		return o, fmt.Errorf("sandbox timeout %v: it has to be positive", o.SandboxTimeout)
	}
	if o.MaxAge < 0 {
		return o, fmt.Errorf("maximum age %v: it must not be negative", o.MaxAge)
	}
	if o.SocketMode == 0 {
		o.SocketMode = DefaultSocketMode
	}
	if o.StartTime.IsZero() {
		o.StartTime = time.Now()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o, nil
}

// A RootError says that the runtime root cannot be read, at the start or any more.
type RootError struct{ Err error }

func (e *RootError) Error() string { return e.Err.Error() }

// Unwrap returns the reason, an *fs.PathError.
func (e *RootError) Unwrap() error { return e.Err }

// A Server serves the metrics of the sandboxes of one runtime root.
type Server struct {
	options     Options
	stopTimeout time.Duration
}

// New returns a Server, or says what is wrong with the options. Nothing is opened before Run.
func New(o Options) (*Server, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	return &Server{o, stopTimeout}, nil
}

// Run listens and serves until ctx is done, and returns nil then. It returns an error when it cannot listen, and, unless
// Options.AllowUnknownRoot is set, a *RootError when the runtime root cannot be read, at the start or later. All that it
// opened is closed when it returns. A Server can be run again, but not twice at the same time.
func (s *Server) Run(ctx context.Context) error {
	o := &s.options
	ctx, lost := context.WithCancelCause(ctx)
	defer lost(nil)
	collector, err := collect.New(collect.Options{
		RootDir:          o.RootDir,
		MatchAddress:     o.MatchAddress,
		AllowUnknownRoot: o.AllowUnknownRoot,
		SandboxTimeout:   o.SandboxTimeout,
		StartTime:        o.StartTime,
		ShowTime:         o.MaxAge > 0,
		Logger:           o.Logger,
	})
	if err != nil {
		return err
	}
	defer collector.Close()
	if err := collector.CheckRoot(); err != nil && !o.AllowUnknownRoot {
		return &RootError{err}
	}
	listener, err := listen(o.Address, o.SocketMode, o.SocketGroup)
	if err != nil {
		return err
	}
	rootLost := func(err error) {
		if root, ok := errors.AsType[*collect.RootError](err); ok && !root.Passing() {
			lost(err)
		}
	}
	handler := web.NewHandler(web.Options{
		Collect:        collector.Collect,
		Pages:          page.NewBuilder(o.ExporterPrefix),
		MaxAge:         o.MaxAge,
		RootDir:        o.RootDir,
		Logger:         o.Logger,
		AllowProfiling: o.AllowProfiling,
		RootLost:       rootLost,
	})
	defer handler.Close()
	defer collector.Stop() // requests that still wait have had their time
	var background sync.WaitGroup
	defer background.Wait()
	defer lost(nil)
	background.Go(func() {
		err := watch(ctx, o.RootDir, func() {
			if err := collector.Look(); err != nil {
				rootLost(err)
			}
		})
		if err != nil {
			o.Logger.Warn("Changes of the runtime root are noticed at scrapes only", "err", err)
		}
	})
	if o.Listening != nil {
		if err := o.Listening(listener.Addr()); err != nil {
			listener.Close()
			return err
		}
	}
	if err := s.serve(ctx, listener, handler); err != nil {
		return err
	}
	if root, ok := errors.AsType[*collect.RootError](context.Cause(ctx)); ok {
		return &RootError{root.Err}
	}
	return nil
}

// serve serves HTTP until ctx is done, and for as long after that as requests take, up to stopTimeout.
func (s *Server) serve(ctx context.Context, listener net.Listener, handler *web.Handler) error {
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ConnState:         web.NewConnections(web.MaxConnections(), s.options.Logger).Track,
		ErrorLog:          slog.NewLogLogger(s.options.Logger.Handler(), slog.LevelDebug),
	}
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		server.Close()
		return err
	case <-ctx.Done():
	}
	limit, cancel := context.WithTimeout(context.Background(), s.stopTimeout)
	defer cancel()
	handler.Stop(limit)
	// What is left are the last bytes of answers, and connections that have not asked for anything.
	limit, cancel = context.WithTimeout(limit, lingerTimeout)
	defer cancel()
	if server.Shutdown(limit) != nil {
		server.Close()
	}
	<-failed
	return nil
}
