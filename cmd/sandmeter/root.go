package main

import (
	"context"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
)

// dispatch runs the command that args name. The command metric-server has the command line of
// runsc, in Go's flag syntax and with runsc's own flags before its name.
func dispatch(ctx context.Context, args []string, std cli.Stdio) error {
	if conf, rest, err := config.FromFlags(args); len(rest) > 0 && rest[0] == config.MetricServerCommand {
		if err != nil {
			return cli.Usage(err)
		}
		if slices.ContainsFunc(args[:len(args)-len(rest)], asksForHelp) {
			rest = []string{config.MetricServerCommand, "--help"}
		}
		return cli.Execute(ctx, newRootCommand(conf, std), twoDashes(rest)) // the last of several equal flags counts
	}
	root := newRootCommand(new(config.Config), std)
	if len(args) > 0 && !strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) { // completion parses flags twice
		cli.Once(root)
	}
	return cli.Execute(ctx, root, args)
}

// asksForHelp reports whether a word of a command line is a help flag.
func asksForHelp(word string) bool { return slices.Contains([]string{"-h", "-help", "--help"}, word) }

// newRootCommand returns the program's commands. conf has the flags before the word metric-server.
func newRootCommand(conf *config.Config, std cli.Stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "sandmeter",
		Short: "The metric server for gVisor sandboxes",
		Long: "Sandmeter is the metric server for gVisor sandboxes. It finds all sandboxes of the runtime, queries their metrics, verifies\n" +
			"every reply, and serves the metrics to Prometheus.\n\n" +
			"The exit status is 0, 1 if the command failed, and 2 if the command line is wrong.",
		Example: "  sandmeter serve --root /run/containerd/runsc/k8s.io\n  sandmeter list",
		Version: versionText(), // without a template: text/template would cost every server 3 MB of memory
	}
	root.AddCommand(
		newServeCommand(std),
		newMetricServerCommand(conf, std),
		newListCommand(std),
		newGetCommand(std),
		newExportCommand(std),
		newHealthCommand(std),
		newDoctorCommand(std),
		newManCommand(std),
		newVersionCommand(std),
	)
	cli.SetUp(root, std)
	explain := root.FlagErrorFunc()
	root.SetFlagErrorFunc(func(c *cobra.Command, err error) error { return explain(c, explainRemoved(err)) })
	return root
}
