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
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/metricserver"
)

// startTime is that of the process.
var startTime = time.Now()

// settings are the flags that serve and metric-server share.
type settings struct {
	metricserver.Options
	addressFlag string // the flag that Address is of
	socketMode  string
	pidFile     string
}

const defaultSocketMode = "0660"

// register adds the shared flags.
func (s *settings) register(f *pflag.FlagSet) {
	f.StringVar(&s.ExporterPrefix, "exporter-prefix", metricserver.DefaultExporterPrefix, "`prefix` of all metric names")
	f.BoolVar(&s.AllowUnknownRoot, "allow-unknown-root", false, "serve a root that does not exist yet, or ceases to")
	f.BoolVar(&s.AllowProfiling, "allow-profiling", false, "serve CPU and heap profiles of this process")
	f.StringVar(&s.pidFile, "pid-file", "", "`file` for the process ID while the server listens")
	f.DurationVar(&s.SandboxTimeout, "sandbox-timeout", metricserver.DefaultSandboxTimeout, "how long a single sandbox can hold up a scrape")
	f.DurationVar(&s.MaxAge, "max-age", 0, "how old the snapshot may be that a scrape is served from")
	f.IntVar(&s.MaxCollectionsPerSecond, "max-collections-per-second", metricserver.DefaultMaxCollectionsPerSecond,
		"how many collections begin per second at most, however often clients ask")
	cli.Names(f, &s.AllowedHosts, "web.allowed-hosts",
		"on a loopback address accept requests for these host `names` too, separated by commas")
	f.StringVar(&s.socketMode, "web.socket-mode", defaultSocketMode, "`mode` of a Unix socket")
	f.StringVar(&s.SocketGroup, "web.socket-group", "", "`group` of a Unix socket (default: that of this process)")
}

// goFlags returns the shared flags in Go's syntax, which is that of metric-server.
func (s *settings) goFlags() *flag.FlagSet {
	shared := pflag.NewFlagSet("", pflag.ContinueOnError)
	s.register(shared)
	return cli.GoFlags(config.MetricServerCommand, shared)
}

// gcPercent is how much garbage there may be, in percent of what is in use, unless $GOGC says otherwise. Scrapes make little, so it costs
// nothing that can be measured: with 1,000 sandboxes of 60 points the server has 37 MB at Go's own 100, 33 MB at 50 and 30 MB at 25, and
// the same CPU.
const gcPercent = 25

// serve runs a server with the settings until ctx is done, and logs how it ended. What is wrong with them is an error of the command line.
func (s *settings) serve(ctx context.Context, log *serverLog) error {
	s.Logger, s.LogLinesDropped = log.Logger, log.dropped.Load
	return log.end(ctx, s.serveUntil(ctx))
}

func (s *settings) serveUntil(ctx context.Context) error {
	// The program that started the server may be gone, and with it the reader of our standard error: that is no reason to die at the next line.
	signal.Ignore(syscall.SIGPIPE)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	o, err := s.check()
	if err != nil {
		return err
	}
	o.StartTime = startTime
	var wrotePID bool
	o.Listening = func(addr net.Addr) error {
		if s.pidFile != "" {
			if err := writePIDFile(s.pidFile); err != nil {
				return err
			}
			wrotePID = true
		}
		announce(o, addr)
		return nil
	}
	server, err := metricserver.New(o)
	if err != nil {
		return cli.Usage(err)
	}
	err = server.Run(ctx)
	if wrotePID {
		err = errors.Join(err, removePIDFile(s.pidFile))
	}
	if _, ok := errors.AsType[*metricserver.RootError](err); ok {
		var more string
		if errors.Is(err, fs.ErrNotExist) {
			more = ", --allow-unknown-root allows it to be missing"
		}
		err = explainRoot(err, more)
	}
	return err
}

// check returns the settings as the server takes them, or what is wrong with them.
func (s *settings) check() (metricserver.Options, error) {
	o := s.Options
	if err := checkAddress(s.addressFlag, o.Address); err != nil {
		return o, err
	}
	mode, err := strconv.ParseUint(s.socketMode, 8, 9)
	switch {
	case err != nil || mode == 0:
		return o, cli.Usagef("--web.socket-mode %q: give an octal number such as 0660", s.socketMode)
	case !isSocket(o.Address) && (s.socketMode != defaultSocketMode || o.SocketGroup != ""):
		return o, cli.Usagef("--web.socket-mode and --web.socket-group are for a Unix socket: leave them out, or give its absolute path as %s", s.addressFlag)
	}
	if o.MaxCollectionsPerSecond <= 0 {
		return o, cli.Usagef("--max-collections-per-second %d: it has to be positive", o.MaxCollectionsPerSecond)
	}
	o.SocketMode = fs.FileMode(mode)
	return fromFlags(o)
}

// fromFlags returns the options that flags stand for: where an option is zero it stands for its default, and a flag for what it says.
func fromFlags(o metricserver.Options) (metricserver.Options, error) {
	if o.SandboxTimeout <= 0 {
		return o, cli.Usagef("--sandbox-timeout %v: it has to be positive", o.SandboxTimeout)
	}
	if o.MaxAge < 0 {
		return o, cli.Usagef("--max-age %v: it must not be negative", o.MaxAge)
	}
	if o.ExporterPrefix == "" && !o.DropIn {
		return o, cli.Usagef("--exporter-prefix is empty: give a prefix such as runsc_; only metric-server does without one")
	}
	return o, nil
}

// explainRoot adds to why a runtime root could not be read what to do about it: more is what else than --root.
func explainRoot(err error, more string) error {
	return fmt.Errorf("%w; %s", err, cmp.Or(cli.PermissionAdvice(err), "--root names the runtime root"+more+suggestRoots(err)))
}

// announce says what is served and where, and warns where that is everywhere.
func announce(o metricserver.Options, addr net.Addr) {
	what := "every sandbox with a registration"
	if o.MatchAddress != "" {
		what = "sandboxes created with --metric-server=" + o.MatchAddress
	}
	facts := []any{"root", strings.Join(o.Roots, ","), "sandboxes", what, "address", addr.String(), "version", programVersion()}
	tcp, isTCP := addr.(*net.TCPAddr)
	if isTCP {
		facts = append(facts, "url", "http://"+addr.String()+"/metrics")
	}
	o.Logger.Info("Serving", facts...)
	if isTCP && tcp.IP.IsUnspecified() {
		o.Logger.Warn("Everybody who can reach this machine can read the metrics: listen on localhost unless that is wanted", "address", addr.String())
	}
	if o.AllowProfiling {
		o.Logger.Warn("Everybody who can reach the address can profile this process")
	}
}
