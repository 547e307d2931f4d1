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
)

const metricServerLong = "Serve as the metric server of runsc does, with the same command line: runsc's flags come before the name of the command,\n" +
	"--root and --metric-server among them, and all that are not ours are let pass. Only sandboxes created with an equal\n" +
	"--metric-server are served. Each flag behind the name can be given as an environment variable too, since runsc itself lets only\n" +
	"some of them pass: SANDMETER_SANDBOX_TIMEOUT for --sandbox-timeout."

const metricServerExample = "  sandmeter --root=/run/containerd/runsc/k8s.io --metric-server=localhost:1337 metric-server\n" +
	"  sandmeter --root=/var/run/runsc --metric-server=%RUNTIME_ROOT%/metrics.sock metric-server -exporter-prefix=gvisor_"

// newMetricServerCommand is the command as help shows it; runMetricServer is what runs.
func newMetricServerCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:                config.MetricServerCommand,
		Short:              "Serve in place of runsc's own metric server",
		Long:               metricServerLong,
		Example:            metricServerExample,
		DisableFlagParsing: true,
		RunE:               func(*cobra.Command, []string) error { return errors.New("metric-server has a parser of its own") },
	}
	new(settings).register(cmd.Flags()) // for the man page
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		fmt.Fprint(cmd.OutOrStdout(), metricServerHelp())
	})
	return cmd
}

// runMetricServer is the command metric-server, given what stands before and after its name.
func runMetricServer(ctx context.Context, conf *config.Config, args []string, std cli.Stdio) error {
	var s settings
	s.Roots = []string{cmp.Or(conf.RootDir, config.DefaultRootDir())}
	s.Address, s.MatchAddress, s.addressFlag, s.DropIn = conf.MetricServer, conf.MetricServer, "--metric-server", true
	flags := s.goFlags()
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return std.Printf("%s", metricServerHelp())
	case err != nil:
		return cli.Usagef("%w; runsc's flags go before the word metric-server, for its own try: sandmeter metric-server --help", err)
	case flags.NArg() > 0:
		return cli.Usagef("metric-server takes no argument, and %q is one; try: sandmeter metric-server --help", flags.Arg(0))
	case s.Address == "":
		return cli.Usagef("no address to serve on: give --metric-server=ADDRESS before the word metric-server")
	}
	if err := cli.GoFlagsFromEnv(flags); err != nil {
		return err
	}
	log, err := openRunscLog(conf, std.Err)
	if err != nil {
		return err
	}
	defer log.close()
	ctx, stop := stopOnHangup(ctx)
	defer stop()
	return s.serve(ctx, log)
}

// metricServerHelp is the help of the command metric-server. cobra's would show its flags with two dashes only.
func metricServerHelp() string {
	var usage strings.Builder
	flags := new(settings).goFlags()
	flags.SetOutput(&usage)
	flags.PrintDefaults()
	return fmt.Sprintf("%s\n\nUsage:\n  sandmeter [runsc flags] metric-server [flags]\n\nExamples:\n%s\n\nFlags:\n%s",
		metricServerLong, metricServerExample, &usage)
}
