package main

import (
	"fmt"
	"slices"

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

// newMetricServerCommand returns the command with runsc's flags, which come before its name.
func newMetricServerCommand(conf *config.Config, std cli.Stdio) *cobra.Command {
	s := &settings{Options: metricserver.Options{DropIn: true, ExporterPrefix: metricserver.DefaultExporterPrefix, Addresses: []string{conf.MetricServer}, MatchAddress: conf.MetricServer}}
	if conf.RootDir != "" {
		s.Roots = []string{conf.RootDir}
	}
	cmd := &cobra.Command{
		Use:         config.MetricServerCommand,
		Short:       "Stand in for runsc's own metric server",
		Long:        metricServerLong,
		Example:     metricServerExample,
		Annotations: map[string]string{cli.UsageLine: "sandmeter [runsc flags] metric-server [flags]"},
		Args:        cobra.NoArgs,
		PreRunE:     fromEnv,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if conf.MetricServer == "" {
				return cli.Usagef("no address to listen on: give --metric-server=ADDRESS before the word metric-server")
			}
			if err := config.CheckAddress(conf.MetricServer); err != nil {
				return cli.Usagef("--metric-server %q: %w", conf.MetricServer, err)
			}
			s.Given = cli.Given(cmd.Flags())
			s.Given["root"], s.Given["metric-server"] = s.Roots[0], conf.MetricServer
			return s.runMetricServer(cmd, conf, std)
		},
	}
	cmd.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return fmt.Errorf("%w; put runsc's flags before the word metric-server", cmd.Parent().FlagErrorFunc()(cmd, err))
	})
	cli.Register(cmd, append(without(s.Settings(), "root", "runsc", "web.listen-address", "web.config.file", "web.telemetry-path", "metric-naming", "final-metrics-log"),
		config.Setting{Name: "pid-file", Heading: "Listening", Placeholder: "file", Value: &s.pidFile, Help: "Write the process ID to this file while the server listens."})...)
	return cmd
}

func (s *settings) runMetricServer(cmd *cobra.Command, conf *config.Config, std cli.Stdio) error {
	log, err := openRunscLog(conf, std.Err)
	if err != nil {
		return err
	}
	defer log.close()
	ctx, stop := stopOnHangup(cmd.Context())
	defer stop()
	cmd.SetContext(ctx)
	return s.serve(cmd, log)
}

// twoDashes returns Go's syntax of flags, in which one dash suffices, with two, as cobra needs it.
func twoDashes(args []string) []string {
	args = slices.Clone(args)
	for i, word := range args {
		if word == "--" {
			break
		}
		if len(word) > 2 && word[0] == '-' && word[1] != '-' {
			args[i] = "-" + word
		}
	}
	return args
}
