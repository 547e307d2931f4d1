package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/metricserver"
)

var startTime = time.Now()

// settings are a server's settings, for serve and metric-server.
type settings struct {
	metricserver.Options
	systemdSocket bool // serve on the sockets of systemd instead of Addresses
	pidFile       string

	ready func() // called when the server listens, if it is not nil
}

// defaultLinger is how long sandboxes that have ended stay on the page of serve: with the usual scrape
// intervals, every scraper sees each end.
const defaultLinger = 5 * time.Minute

// gcPercent is the garbage collection target unless $GOGC is set. Scrapes produce little garbage,
// so a lower target than Go's 100 saves memory at no measurable cost: see docs/performance.md.
const gcPercent = 25

// serve runs a server with the settings until the command's context is done, and logs the result. Invalid
// settings are a usage error.
func (s *settings) serve(cmd *cobra.Command, log *serverLog) error {
	s.Logger, s.LogLinesDropped, s.DropPrivileges = log.Logger, log.dropped, true
	warnOfVariables(log.Logger, cmd.Root(), os.Environ())
	flags := cmd.Flags()
	if (flags.Changed("web.socket-mode") || flags.Changed("web.socket-group")) && (s.systemdSocket || !slices.ContainsFunc(s.Addresses, config.IsSocket)) {
		return log.end(cmd.Context(), cli.Usagef("web.socket-mode and web.socket-group are for a Unix socket: leave them out, or listen on its absolute path"))
	}
	return log.end(cmd.Context(), s.serveUntil(cmd.Context()))
}

func (s *settings) serveUntil(ctx context.Context) error {
	// If the reader of standard error has exited, the next log line must not kill the server.
	signal.Ignore(syscall.SIGPIPE)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(gcPercent)
	}
	o := s.Options
	if s.systemdSocket {
		o.Addresses = nil
	}
	o.StartTime, o.Version = startTime, programVersion()
	o.Listening = func(addrs []net.Addr) error {
		if s.pidFile != "" {
			if err := writePIDFile(s.pidFile); err != nil {
				return err
			}
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
	err = errors.Join(s.listen(ctx, server), removePIDFile(s.pidFile))
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

// explainRoot adds advice to a runtime root error: fix the permissions, or set --root, followed by
// more.
func explainRoot(err error, more string) error {
	return fmt.Errorf("%w; %s", err, cmp.Or(cli.PermissionAdvice(err), "set the runtime root with --root"+more+suggestRoots(err)))
}

// announce logs the served sandboxes and addresses. It warns about TCP listeners on all interfaces
// without a web configuration file, and about profiling.
func announce(o metricserver.Options, addrs []net.Addr) {
	what := "every sandbox"
	if slices.Contains(o.Runsc, metricserver.RunscOff) {
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
	if len(open) > 0 && o.EnableRegistering {
		o.Logger.Warn("Every host that can reach this machine can unregister sandboxes, which hides them", "address", strings.Join(open, ","))
	}
	if o.AllowProfiling {
		o.Logger.Warn("Profiles are available to all clients that can read the metrics")
	}
}
