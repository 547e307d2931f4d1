package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/metricserver"
)

// export writes the metrics of one sandbox.
type export struct {
	metricserver.Options
	root   string
	filter string
}

func newExportCommand(std cli.Stdio) *cobra.Command {
	e := export{root: config.DefaultRootDir()}
	cmd := &cobra.Command{
		Use:   "export ID",
		Short: "Write the metrics of one sandbox, directly from its control socket",
		Long: "Query one sandbox over its control socket, verify the reply, and write the metrics in the Prometheus text format, without\n" +
			"a server. ID is the ID of any container of the sandbox, or a unique prefix of one. If no metric matches --filter, the\n" +
			"command fails. A command that fails writes no metrics.",
		Example: "  sandmeter export --root /run/containerd/runsc/k8s.io 5f0c2a1b\n" +
			"  sandmeter export --filter ^fs_ 5f0c2a1b\n" +
			"  sandmeter export 5f0c2a1b | promtool check metrics",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] == "" {
				return errors.New("export requires one ID; sandmeter list shows the IDs of sandboxes")
			}
			return nil
		},
		PreRunE: fromEnv,
		RunE:    func(cmd *cobra.Command, args []string) error { return e.run(cmd.Context(), args[0], std) },
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 || cli.FromEnv(cmd.Flags()) != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			listing, _ := state.NewRoot(e.root).List() // if it is incomplete, so is the completion
			return slices.Sorted(maps.Keys(sandboxesByContainer(listing))), cobra.ShellCompDirectiveNoFileComp
		},
	}
	cli.Register(cmd, append(only(e.Settings(), "exporter-prefix", "metric-naming", "sandbox-timeout", "runsc"),
		cli.Root(&e.root, "Runtime root: the directory of runsc's state files."),
		config.Setting{Name: "filter", Placeholder: "regex", Value: &e.filter, Check: checkFilter,
			Help: "Write only metrics whose names, without the prefix and _total, match this regex."})...)
	return cmd
}

func (e *export) run(ctx context.Context, id string, std cli.Stdio) error {
	listing, err := state.NewRoot(e.root).List()
	if err != nil {
		return explainRoot(err, "")
	}
	sandbox, err := findSandbox(listing, id)
	switch {
	case err != nil:
		return err
	case sandbox == "":
		return fmt.Errorf("%w %q in runtime root %s; sandmeter list shows all sandboxes", metricserver.ErrNoSandbox, id, e.root)
	}
	e.Roots = []string{e.root}
	err = metricserver.Export(ctx, e.Options, sandbox, e.filter, std.Out)
	return explainExport(err, listing, sandbox)
}

// explainExport adds to an error what the state file of the sandbox reveals about the cause, and
// what to do.
func explainExport(err error, listing state.Listing, sandbox string) error {
	switch {
	case errors.Is(err, metricserver.ErrNoSandbox):
		for _, e := range listing.Errors {
			if strings.HasSuffix(e.Name, "_sandbox:"+sandbox+".state") {
				return fmt.Errorf("sandbox %q: %w; %s", sandbox, e, cmp.Or(cli.PermissionAdvice(e), "sandmeter list shows the readable ones"))
			}
		}
		return fmt.Errorf("%w; sandmeter list shows all sandboxes", err)
	case errors.Is(err, metricserver.ErrNoMatch):
		return fmt.Errorf("%w; filters match names without the prefix, and counters that are zero are left out", err)
	}
	return err
}
