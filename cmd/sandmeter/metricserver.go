package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/metricserver"
)

const metricServerLong = "Serve as the metric server of runsc does, with the same command line: runsc's flags come before the name of the command,\n" +
	"--root and --metric-server among them, and all that are not ours are let pass. Only sandboxes created with an equal\n" +
	"--metric-server are served."

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
	cmd.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		writeMetricServerHelp(cmd.OutOrStdout(), metricServerFlags(new(metricserver.Options)))
	})
	return cmd
}

// metricServerFlags are the flags behind the command's name.
func metricServerFlags(o *metricserver.Options) *flag.FlagSet {
	flags := flag.NewFlagSet(config.MetricServerCommand, flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.StringVar(&o.ExporterPrefix, "exporter-prefix", metricserver.DefaultExporterPrefix, "`prefix` of all metric names")
	flags.BoolVar(&o.AllowUnknownRoot, "allow-unknown-root", false, "serve a root that does not exist yet, or ceases to")
	return flags
}

// runMetricServer is the command metric-server, given what stands before and after its name.
func runMetricServer(ctx context.Context, conf *config.Config, args []string, std stdio) error {
	o := metricserver.Options{RootDir: conf.RootDir, Address: conf.MetricServer, MatchAddress: conf.MetricServer}
	if o.RootDir == "" {
		o.RootDir = config.DefaultRootDir()
	}
	flags := metricServerFlags(&o)
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		writeMetricServerHelp(std.out, flags)
		return nil
	case err != nil:
		return usagef("%w; try: sandmeter metric-server --help", err)
	case flags.NArg() > 0:
		return usagef("metric-server takes no argument, and %q is one; try: sandmeter metric-server --help", flags.Arg(0))
	case o.Address == "":
		return usagef("no address to serve on: give --metric-server=ADDRESS before the word metric-server")
	}
	logger, closeLog, err := newRunscLogger(conf, std.err)
	if err != nil {
		return err
	}
	defer closeLog()
	o.ExporterPrefix = prefixOption(o.ExporterPrefix)
	o.Logger = logger
	o.Listening = func(addr net.Addr) { announce(logger, o, addr) }
	if err := runServer(ctx, o); err != nil {
		if conf.DebugLog != "" || conf.LogFilename != "" { // else the log is where the error is written anyway
			logger.Error("Metric server ends", "err", err)
		}
		return err
	}
	logger.Info("Metric server ends, as it was told")
	return nil
}

func writeMetricServerHelp(out io.Writer, flags *flag.FlagSet) {
	fmt.Fprintf(out, "%s\n\nUsage:\n  sandmeter [runsc flags] metric-server [flags]\n\nExamples:\n%s\n\nFlags:\n", metricServerLong, metricServerExample)
	flags.SetOutput(out)
	flags.PrintDefaults()
}
