package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/metricserver"
)

func newExportCommand(std cli.Stdio) *cobra.Command {
	var o metricserver.Options
	root := config.DefaultRootDir()
	cmd := &cobra.Command{
		Use:   "export ID",
		Short: "Write the metrics of one sandbox, straight from its control socket",
		Long: "Ask one sandbox for its metrics over its control socket, verify them, and write them in Prometheus's text format. No\n" +
			"server is needed. Nothing is written when there is an error.",
		Example: "  sandmeter export --root /run/containerd/runsc/k8s.io 5f0c2a1b\n" +
			"  sandmeter export 5f0c2a1b | promtool check metrics",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("export takes the ID of one sandbox; sandmeter list shows them")
			}
			return nil
		},
		PreRunE: func(cmd *cobra.Command, _ []string) error { return cli.FromEnv(cmd.Flags()) },
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Roots = []string{root}
			return export(cmd.Context(), o, args[0], std)
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 || cli.FromEnv(cmd.Flags()) != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return sandboxIDs(root), cobra.ShellCompDirectiveNoFileComp
		},
	}
	flags := cmd.Flags()
	cli.RegisterRoot(cmd, &root, "the runtime root, `directory` of runsc's state files")
	flags.StringVar(&o.ExporterPrefix, "exporter-prefix", metricserver.DefaultExporterPrefix, "`prefix` of all metric names")
	flags.DurationVar(&o.SandboxTimeout, "sandbox-timeout", metricserver.DefaultSandboxTimeout, "how long to wait for the sandbox")
	return cmd
}

// sandboxIDs are those of a runtime root, as far as it can be read.
func sandboxIDs(rootDir string) []string {
	listing, _ := state.NewRoot(rootDir).List()
	var ids []string
	for _, s := range listing.Sandboxes {
		ids = append(ids, s.ID)
	}
	return ids
}

func export(ctx context.Context, o metricserver.Options, id string, std cli.Stdio) error {
	o, err := fromFlags(o)
	if err != nil {
		return err
	}
	err = metricserver.Export(ctx, o, id, std.Out)
	switch {
	case err == nil:
		return nil
	case errors.As(err, new(*metricserver.RootError)):
		return explainRoot(err)
	}
	return explainExport(err, o.Roots[0], id)
}

// explainExport adds to why a sandbox has no metrics what its state file says of that.
func explainExport(err error, rootDir, id string) error {
	listing, listErr := state.NewRoot(rootDir).List()
	if listErr != nil {
		return err
	}
	if errors.Is(err, metricserver.ErrNoSandbox) {
		for _, e := range listing.Errors {
			if strings.HasSuffix(e.Name, "_sandbox:"+id+".state") {
				return fmt.Errorf("sandbox %q: %w; %s", id, e, cmp.Or(cli.PermissionAdvice(e), "sandmeter list shows those that can be read"))
			}
		}
		return fmt.Errorf("%w; sandmeter list shows which there are", err)
	}
	i := slices.IndexFunc(listing.Sandboxes, func(s *state.Sandbox) bool { return s.ID == id })
	if i < 0 {
		return err
	}
	if s := describe(listing.Sandboxes[i], rootDir); s.Running && !s.Instrumented {
		return fmt.Errorf("%w: create it anew, with runsc's flag --metric-server", err)
	}
	return err
}
