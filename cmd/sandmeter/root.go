package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
)

// dispatch runs the command that args name. The command metric-server has a runsc command line, in Go's flag syntax and with runsc's own
// flags before its name, and never reaches the parser of the others.
func dispatch(ctx context.Context, args []string, std cli.Stdio) error {
	if conf, rest, err := config.FromFlags(args); len(rest) > 0 && rest[0] == config.MetricServerCommand {
		if err != nil {
			return cli.Usage(err)
		}
		if slices.ContainsFunc(args[:len(args)-len(rest)], asksForHelp) {
			rest = []string{config.MetricServerCommand, "--help"}
		}
		return runMetricServer(ctx, conf, rest[1:], std)
	}
	root := newRootCommand(std)
	if len(args) > 0 && !strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) { // which parses a command line twice
		cli.LimitToOnce(root)
	}
	return cli.Execute(ctx, root, args)
}

// asksForHelp reports whether a word of a command line is the flag for help.
func asksForHelp(word string) bool { return slices.Contains([]string{"-h", "-help", "--help"}, word) }

func newRootCommand(std cli.Stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "sandmeter",
		Short: "The metric server for gVisor sandboxes",
		Long: "Sandmeter is the metric server for gVisor sandboxes: it finds every sandbox of the runtime, queries each for its metrics,\n" +
			"trusts none of them, and serves what it has verified to Prometheus.\n\n" +
			"It exits with 0, with 1 if a command fails, and with 2 if the command line is wrong.",
		Example: "  sandmeter serve --root /run/containerd/runsc/k8s.io\n  sandmeter list",
		Version: versionText(), // as it is: a template of our own would link a package that costs every server 3 MB
	}
	root.AddCommand(
		newServeCommand(std),
		newMetricServerCommand(),
		newListCommand(std),
		newGetCommand(std),
		newExportCommand(std),
		newHealthCommand(std),
		newManCommand(std),
		newVersionCommand(std),
	)
	cli.SetUp(root, std)
	return root
}
