package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/metricserver"
)

// defaultListenAddress is of this machine only. Its port is outside of the range that Prometheus's list of exporters has given away.
const defaultListenAddress = "localhost:19640"

// serve is the server for people and service managers.
type serve struct {
	options    metricserver.Options
	socketMode string
	log        logFlags
}

func newServeCommand(std stdio) *cobra.Command {
	var s serve
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the metrics of every sandbox of a runtime root",
		Long: "Serve the metrics of every sandbox of a runtime root that registered metrics, whatever --metric-server it was\n" +
			"created with. Every flag can be given as an environment variable too: SANDMETER_WEB_LISTEN_ADDRESS for\n" +
			"--web.listen-address.",
		Example: "  sandmeter serve --root /run/containerd/runsc/k8s.io\n" +
			"  sandmeter serve --root /var/run/docker/runtime-runc/moby --web.listen-address :19640\n" +
			"  sandmeter serve --web.listen-address /run/sandmeter.sock --web.socket-group prometheus",
		Args:    noArgs,
		PreRunE: func(cmd *cobra.Command, _ []string) error { return fromEnv(cmd.Flags()) },
		RunE:    func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context(), std) },
	}
	flags := cmd.Flags()
	flags.StringVar(&s.options.RootDir, "root", config.DefaultRootDir(), "the runtime root, `directory` of runsc's state files")
	flags.StringVar(&s.options.Address, "web.listen-address", defaultListenAddress,
		"`address` to listen on: host:port, :port, or the absolute path of a Unix socket")
	flags.StringVar(&s.socketMode, "web.socket-mode", "0660", "`mode` of a Unix socket")
	flags.StringVar(&s.options.SocketGroup, "web.socket-group", "", "`group` of a Unix socket (default: that of this process)")
	flags.StringVar(&s.options.MatchAddress, "match-address", "", "serve only sandboxes created with this --metric-server `address`")
	flags.StringVar(&s.options.ExporterPrefix, "exporter-prefix", metricserver.DefaultExporterPrefix, "`prefix` of all metric names")
	flags.BoolVar(&s.options.AllowUnknownRoot, "allow-unknown-root", false, "serve a root that does not exist yet, or ceases to")
	flags.DurationVar(&s.options.SandboxTimeout, "sandbox-timeout", metricserver.DefaultSandboxTimeout, "how long a single sandbox can hold up a scrape")
	s.log.register(flags)
	return cmd
}

func (s *serve) run(ctx context.Context, std stdio) error {
	mode, err := strconv.ParseUint(s.socketMode, 8, 9)
	if err != nil || mode == 0 {
		return usagef("--web.socket-mode %q: give an octal number such as 0660", s.socketMode)
	}
	logger, err := s.log.logger(std.err)
	if err != nil {
		return err
	}
	o := s.options
	o.SocketMode = fs.FileMode(mode)
	o.ExporterPrefix = prefixOption(o.ExporterPrefix)
	o.Logger = logger
	o.Listening = func(addr net.Addr) { announce(logger, o, addr) }
	return runServer(ctx, o)
}

// prefixOption makes a prefix that was given the option for it: no prefix at all is a choice, too.
func prefixOption(flag string) string {
	if flag == "" {
		return " "
	}
	return flag
}

// announce says what is served and where.
func announce(logger *slog.Logger, o metricserver.Options, addr net.Addr) {
	what := "every sandbox with a registration"
	if o.MatchAddress != "" {
		what = "sandboxes created with --metric-server=" + o.MatchAddress
	}
	where := "http://" + addr.String() + "/metrics"
	if addr.Network() == "unix" {
		where = fmt.Sprintf("/metrics on Unix socket %s", addr)
	}
	logger.Info("Serving", "root", o.RootDir, "sandboxes", what, "address", where, "version", programVersion())
}

// runServer runs a server until it is told to end. What is wrong with its options is an error of the command line.
func runServer(ctx context.Context, o metricserver.Options) error {
	// Whoever started the server may be gone, and the pipe of its standard error with him: that is no reason to die at the next line.
	signal.Ignore(syscall.SIGPIPE)
	o.StartTime = startTime
	server, err := metricserver.New(o)
	if err != nil {
		return usageError{err}
	}
	err = server.Run(ctx)
	if _, ok := errors.AsType[*metricserver.RootError](err); ok {
		return fmt.Errorf("%w; --root names the runtime root, --allow-unknown-root allows it to be missing", err)
	}
	return err
}

// startTime is that of the process.
var startTime = time.Now()
