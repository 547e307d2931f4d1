package main

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/metricserver"
)

func newExportCommand(std stdio) *cobra.Command {
	var o metricserver.Options
	cmd := &cobra.Command{
		Use:   "export ID",
		Short: "Write the metrics of one sandbox, straight from its control socket",
		Long: "Ask one sandbox for its metrics over its control socket, verify them, and write them in Prometheus's text format. No\n" +
			"server is needed. Nothing is written when there is an error.",
		Example: "  sandmeter export --root /run/containerd/runsc/k8s.io 5f0c2a1b\n" +
			"  sandmeter export 5f0c2a1b | promtool check metrics",
		Args:    usageArgs(cobra.ExactArgs(1)),
		PreRunE: func(cmd *cobra.Command, _ []string) error { return fromEnv(cmd.Flags()) },
		RunE: func(cmd *cobra.Command, args []string) error {
			return export(cmd.Context(), o, args[0], std)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.RootDir, "root", config.DefaultRootDir(), "the runtime root, `directory` of runsc's state files")
	flags.StringVar(&o.ExporterPrefix, "exporter-prefix", metricserver.DefaultExporterPrefix, "`prefix` of all metric names")
	flags.DurationVar(&o.SandboxTimeout, "sandbox-timeout", metricserver.DefaultSandboxTimeout, "how long to wait for the sandbox")
	return cmd
}

func export(ctx context.Context, o metricserver.Options, id string, std stdio) error {
	if o.ExporterPrefix == "" {
		o.ExporterPrefix = metricserver.NoExporterPrefix
	}
	return metricserver.Export(ctx, o, id, std.out)
}
