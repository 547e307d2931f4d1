package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/metricserver"
)

// defaultListenAddress is only reachable from this machine. Its port is outside the range allocated
// in the Prometheus list of exporters.
const defaultListenAddress = "localhost:19640"

const listenAddressFlag = "web.listen-address"

// serve is the command that runs the server for users and service managers.
type serve struct {
	settings
	log         logFlags
	registering bool
}

func newServeCommand(std cli.Stdio) *cobra.Command {
	cmd, _ := newServe(std)
	return cmd
}

// newServe returns the command, and the settings that its flags set.
func newServe(std cli.Stdio) (*cobra.Command, *serve) {
	s := &serve{settings: settings{Options: metricserver.Options{Usage: metricserver.UsageOwn, TotalsBy: metricserver.TotalsByNone, Linger: defaultLinger}, naming: string(metricserver.PrometheusNaming), zeroCounters: on}}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the metrics of every sandbox of one or more runtime roots",
		Long: "Serve the metrics of every sandbox. With more than one runtime root, or a glob, the series of a sandbox have the label\n" +
			"runtime_root. Every flag can be given as an environment variable too: SANDMETER_WEB_LISTEN_ADDRESS for\n" +
			"--web.listen-address, and SANDMETER_ROOT for --root, where commas separate addresses and roots.\n\n" +
			registrationLong +
			"With --web.config.file every address and every path is behind the same TLS and passwords. The server reads the file, and\n" +
			"the files that it names, again for each connection and request. Replace it with a rename, so that no request meets half of it.",
		Example: "  sandmeter serve --root /run/containerd/runsc/k8s.io\n" +
			"  sandmeter serve --root '/run/containerd/runsc/*' --root /var/run/docker/runtime-runc/moby\n" +
			"  sandmeter serve --root /var/run/docker/runtime-runc/moby --web.listen-address :19640\n" +
			"  sandmeter serve --web.listen-address /run/sandmeter.sock --web.socket-group prometheus\n" +
			"  sandmeter serve --web.listen-address :19640 --web.listen-address /run/sandmeter.sock --web.config.file /etc/sandmeter/web.yml",
		Args: cobra.NoArgs,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			err := cli.FromEnv(cmd.Flags())
			s.Given = cli.Given(cmd.Flags())
			return err
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			if s.systemdSocket && cmd.Flags().Changed(listenAddressFlag) {
				return cli.Usagef("--web.systemd-socket serves on the sockets of systemd: leave out --%s", listenAddressFlag)
			}
			return s.run(cmd.Context(), std)
		},
	}
	flags := cmd.Flags()
	s.settings.register(flags)
	s.Roots = []string{config.DefaultRootDir()}
	s.Addresses, s.addressFlag = []string{defaultListenAddress}, "--"+listenAddressFlag
	cli.RegisterRoots(cmd, &s.Roots, "Runtime root: the `directory` of runsc's state files, or a glob. Repeatable.")
	cli.Repeatable(flags, &s.Addresses, listenAddressFlag,
		"`Address` to listen on: host:port, :port, or the absolute path of a Unix socket. Repeatable.")
	flags.BoolVar(&s.systemdSocket, "web.systemd-socket", false, "Serve on the sockets that systemd passes, instead of listening on addresses.")
	flags.StringVar(&s.WebConfigFile, "web.config.file", "",
		"`File` with TLS, client certificates, passwords, rate limit and headers, in the format of Prometheus's exporter-toolkit.")
	_ = cmd.MarkFlagFilename("web.config.file", "yml", "yaml") // only fails for unknown flags
	flags.StringVar(&s.TelemetryPath, "web.telemetry-path", metricserver.DefaultTelemetryPath, "`Path` of the metrics.")
	registerNaming(flags, &s.naming)
	flags.BoolVar(&s.registering, "web.enable-registration", false,
		"Let clients register and unregister sandboxes. An unregistered sandbox has no metrics until its ID is used again.")
	registerRegistrations(cmd, &s.Options)
	flags.StringVar(&s.FinalMetricsLog, "final-metrics-log", "",
		"Read the last metrics of ended sandboxes from these files: the `pattern` in runsc's flag of that name, with %ID%.")
	flags.BoolVar(&s.OnlyInstrumented, "only-instrumented", false, "Serve only sandboxes that were created with a --metric-server, and run no runsc.")
	s.log.register(cmd)
	cli.CompleteChoices(cmd)
	return cmd, s
}

func (s *serve) run(ctx context.Context, std cli.Stdio) error {
	log, err := s.log.open(std.Err)
	if err != nil {
		return err
	}
	defer log.close()
	defer ignoreHangup(log.Logger)()
	s.ProcessMetrics, s.DisableRegistering = true, !s.registering
	s.ready = func() { tellReady(log.Logger) }
	return s.serve(ctx, log)
}
