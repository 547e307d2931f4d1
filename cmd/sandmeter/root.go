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
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

// asksForHelp reports whether a word of a command line is the flag for help.
func asksForHelp(word string) bool { return slices.Contains([]string{"-h", "-help", "--help"}, word) }

func newRootCommand(std cli.Stdio) *cobra.Command {
	var showVersion bool
	root := &cobra.Command{
		Use:   "sandmeter COMMAND",
		Short: "The metric server for gVisor sandboxes",
		Long: "Sandmeter is the metric server for gVisor sandboxes: it finds every sandbox of the runtime, queries each for its metrics,\n" +
			"trusts none of them, and serves what it has verified to Prometheus.\n\n" +
			"It exits with 0, with 1 if a command fails, and with 2 if the command line is wrong.",
		Example: "  sandmeter serve --root /run/containerd/runsc/k8s.io\n  sandmeter list",
		Args:    cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if showVersion {
				return writeVersion(std)
			}
			return cli.Usagef("a command is missing, one of %s; try: sandmeter --help", strings.Join(cli.CommandNames(cmd), ", "))
		},
	}
	cli.SetUp(root, std, "  sandmeter help serve")
	root.Flags().BoolVar(&showVersion, "version", false, "say which version this is")
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
	addCompletion(root)
	return root
}

// addCompletion adds cobra's own command, which takes no notice of a wrong command line.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	i := slices.IndexFunc(root.Commands(), func(c *cobra.Command) bool { return c.Name() == "completion" })
	completion := root.Commands()[i]
	completion.Use = "completion SHELL"
	completion.Short = "Write the completion script of a shell"
	completion.Long = "Write the completion script of a shell. The help of each says how to use it: sandmeter completion bash --help"
	completion.Example = "  source <(sandmeter completion bash)"
	completion.Args = cobra.ArbitraryArgs
	completion.RunE = func(cmd *cobra.Command, args []string) error {
		shells := strings.Join(cli.CommandNames(cmd), ", ")
		if len(args) > 0 {
			return cli.Usagef("there is no completion for a shell %q: choose one of %s", args[0], shells)
		}
		return cli.Usagef("a shell is missing, one of %s; try: sandmeter completion --help", shells)
	}
	for _, shell := range completion.Commands() {
		shell.Args = cli.NoArgs
	}
}
