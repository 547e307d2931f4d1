package main

import (
	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/metricserver"
)

// defaultListenAddress is only reachable from this machine. Its port is outside the range allocated
// in the Prometheus list of exporters.
const defaultListenAddress = "localhost:19640"

// serve is the command that runs the server for users and service managers.
type serve struct {
	settings
	log logFlags
}

func newServeCommand(std cli.Stdio) *cobra.Command {
	s := &serve{settings{Options: metricserver.Options{Addresses: []string{defaultListenAddress}, Linger: defaultLinger,
		ZeroCounters: []string{metricserver.ZeroCountersAll}, ProcessMetrics: true}}, logFlags{"info", formatText}}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Serve the metrics of every sandbox of one or more runtime roots",
		Long: "Serve the metrics of every sandbox. With more than one runtime root, or a glob, the series of a sandbox have the label\n" +
			"runtime_root. Every flag can be given as an environment variable too: SANDMETER_WEB_LISTEN_ADDRESS for\n" +
			"--web.listen-address, and SANDMETER_ROOT for --root, where commas separate addresses and roots.\n\n" +
			"Replies are verified with the sandbox's registration, the list of its metrics. A sandbox that was created without runsc's flag\n" +
			"--metric-server has none in its state file. It gets the registration of another sandbox of the same build of runsc, or the\n" +
			"server runs `runsc metric-metadata` with the runsc that started the sandbox, which it finds in Docker's and containerd's\n" +
			"configuration or in PATH. It refuses to run a program that anyone except root or its own user can write.\n\n" +
			"With --web.config.file every address and every path is behind the same TLS and passwords. The server reads the file, and\n" +
			"the files that it names, again for each connection and request. Replace the file atomically (rename), so no request reads a\n" +
			"partial file.",
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
			listens := cmd.Flags().Changed("web.listen-address")
			if s.systemdSocket && listens {
				return cli.Usagef("--web.systemd-socket serves on the sockets of systemd: leave out --web.listen-address")
			}
			return s.run(cmd, std)
		},
	}
	all := append(without(s.Settings(), "allow-unknown-root", "exporter-prefix"), config.Setting{Name: "web.systemd-socket", Heading: "Listening", Value: &s.systemdSocket,
		Help: "Serve on the sockets that systemd passes, instead of listening on addresses."})
	cli.Register(cmd, append(all, s.log.settings()...)...)
	return cmd
}

func (s *serve) run(cmd *cobra.Command, std cli.Stdio) error {
	log, err := s.log.open(std.Err)
	if err != nil {
		return err
	}
	defer log.close()
	defer ignoreHangup(log.Logger)()
	s.ready = func() { tellReady(log.Logger) }
	return s.serve(cmd, log)
}
