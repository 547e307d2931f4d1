package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
)

// defaultListenAddress is of this machine only. Its port is outside of the range that Prometheus's list of exporters has given away.
const defaultListenAddress = "localhost:19640"

// serve is the server for people and service managers.
type serve struct {
	settings
	log logFlags
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
	s.settings.register(flags)
	s.RootDir, s.addressFlag = config.DefaultRootDir(), "--web.listen-address"
	registerRoot(cmd, &s.RootDir, "the runtime root, `directory` of runsc's state files")
	flags.StringVar(&s.Address, "web.listen-address", defaultListenAddress,
		"`address` to listen on: host:port, :port, or the absolute path of a Unix socket")
	flags.StringVar(&s.MatchAddress, "match-address", "", "serve only sandboxes created with this --metric-server `address`")
	s.log.register(cmd)
	return cmd
}

func (s *serve) run(ctx context.Context, std stdio) error {
	log, err := s.log.open(std.err)
	if err != nil {
		return err
	}
	return s.serve(ctx, log)
}
