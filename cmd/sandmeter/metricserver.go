package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/metricserver"
)

const metricServerLong = "Stand in for runsc's own metric server, with the same command line. runsc's flags, such as --root and --metric-server, come\n" +
	"before the word metric-server; unknown ones are ignored. The server serves only sandboxes that were created with an equal\n" +
	"--metric-server. Each flag after the word metric-server can also be set by an environment variable, because runsc passes on\n" +
	"only some of them: SANDMETER_SANDBOX_TIMEOUT for --sandbox-timeout."

const metricServerExample = "  sandmeter --root=/run/containerd/runsc/k8s.io --metric-server=localhost:1337 metric-server\n" +
	"  sandmeter --root=/var/run/runsc --metric-server=%RUNTIME_ROOT%/metrics.sock metric-server -exporter-prefix=gvisor_"

// newMetricServerCommand returns the command for help and man pages; dispatch calls runMetricServer
// instead.
func newMetricServerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:                config.MetricServerCommand,
		Short:              "Stand in for runsc's own metric server",
		Long:               metricServerLong,
		Example:            metricServerExample,
		DisableFlagParsing: true,
		RunE:               func(*cobra.Command, []string) error { return errors.New("metric-server has its own parser") },
	}
	dropIn().registerDropIn(cmd.Flags()) // for the man page
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		fmt.Fprint(cmd.OutOrStdout(), metricServerHelp())
	})
	return cmd
}

// dropIn returns the defaults of the command metric-server.
func dropIn() *settings {
	return &settings{Options: metricserver.Options{DropIn: true, Usage: metricserver.UsageOff}, zeroCounters: off}
}

// runMetricServer runs the command metric-server: conf has the flags before its name, args those
// after it.
func runMetricServer(ctx context.Context, conf *config.Config, args []string, std cli.Stdio) error {
	s := dropIn()
	s.Roots = []string{cmp.Or(conf.RootDir, config.DefaultRootDir())}
	s.Addresses, s.MatchAddress, s.addressFlag = []string{conf.MetricServer}, conf.MetricServer, "--metric-server"
	flags := s.goFlags()
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return std.Printf("%s", metricServerHelp())
	case err != nil:
		return cli.Usagef("%w; put runsc's flags before the word metric-server; for other flags, try: sandmeter metric-server --help", err)
	case flags.NArg() > 0:
		return cli.Usagef("metric-server takes no arguments, and got %q; try: sandmeter metric-server --help", flags.Arg(0))
	case conf.MetricServer == "":
		return cli.Usagef("no address to listen on: give --metric-server=ADDRESS before the word metric-server")
	}
	if err := cli.GoFlagsFromEnv(flags); err != nil {
		return err
	}
	s.Given = map[string]string{"root": s.Roots[0], "metric-server": conf.MetricServer}
	flags.Visit(func(f *flag.Flag) { s.Given[f.Name] = f.Value.String() })
	log, err := openRunscLog(conf, std.Err)
	if err != nil {
		return err
	}
	defer log.close()
	ctx, stop := stopOnHangup(ctx)
	defer stop()
	return s.serve(ctx, log)
}

// metricServerHelp returns the help of the command metric-server. cobra's would show two dashes
// only.
func metricServerHelp() string {
	var usage strings.Builder
	flags := dropIn().goFlags()
	flags.SetOutput(&usage)
	flags.PrintDefaults()
	return fmt.Sprintf("%s\n\nUsage:\n  sandmeter [runsc flags] metric-server [flags]\n\nExamples:\n%s\n\nFlags:\n%s",
		metricServerLong, metricServerExample, &usage)
}
