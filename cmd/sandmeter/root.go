package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sandmeter/sandmeter/config"
)

// dispatch runs the command that args name. The command metric-server has a runsc command line, in Go's flag syntax and with runsc's own
// flags before its name, and never reaches the parser of the others.
func dispatch(ctx context.Context, args []string, std stdio) error {
	if conf, rest, err := config.FromFlags(args); len(rest) > 0 && rest[0] == config.MetricServerCommand {
		if err != nil {
			return usageError{err}
		}
		if slices.ContainsFunc(args[:len(args)-len(rest)], asksForHelp) {
			rest = []string{config.MetricServerCommand, "--help"}
		}
		return runMetricServer(ctx, conf, rest[1:], std)
	}
	root := newRootCommand(std)
	if len(args) > 0 && !strings.HasPrefix(args[0], cobra.ShellCompRequestCmd) { // which parses a command line twice
		limitToOnce(root)
	}
	root.SetArgs(args)
	return root.ExecuteContext(ctx)
}

// asksForHelp reports whether a word of a command line is the flag for help.
func asksForHelp(word string) bool { return slices.Contains([]string{"-h", "-help", "--help"}, word) }

func newRootCommand(std stdio) *cobra.Command {
	var showVersion bool
	root := &cobra.Command{
		Use:   "sandmeter COMMAND",
		Short: "The metric server for gVisor sandboxes",
		Long: "Sandmeter is the metric server for gVisor sandboxes: it finds every sandbox of a runtime root, asks each for its\n" +
			"metrics, believes none of them, and serves what holds to Prometheus.\n\n" +
			"It exits with 0, with 1 where a command failed, and with 2 where the command line is wrong.",
		Example:                    "  sandmeter serve --root /run/containerd/runsc/k8s.io\n  sandmeter list",
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		Args:                       noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if showVersion {
				return writeVersion(std)
			}
			return usagef("a command is missing, one of %s; try: sandmeter --help", strings.Join(commandNames(cmd), ", "))
		},
	}
	root.SetOut(std.out)
	root.SetErr(std.err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usagef("%w; try: %s --help", err, cmd.CommandPath())
	})
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { writeHelp(cmd) })
	root.SetHelpCommand(newHelpCommand())
	root.Flags().BoolVar(&showVersion, "version", false, "say which version this is")
	root.AddCommand(
		newServeCommand(std),
		newMetricServerCommand(),
		newListCommand(std),
		newGetCommand(std),
		newExportCommand(std),
		newHealthCommand(std),
		newDemoCommand(std),
		newSimulateCommand(std),
		newManCommand(std),
		newVersionCommand(std),
		newWorkloadCommand(std),
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
		shells := strings.Join(commandNames(cmd), ", ")
		if len(args) > 0 {
			return usagef("there is no completion for a shell %q: choose one of %s", args[0], shells)
		}
		return usagef("a shell is missing, one of %s; try: sandmeter completion --help", shells)
	}
	for _, shell := range completion.Commands() {
		shell.Args = noArgs
	}
}

// writeHelp is cobra's own help, but for a second line of usage, of a command that has commands, which says the same as the first.
func writeHelp(cmd *cobra.Command) {
	usage := strings.Replace(cmd.UsageString(), "\n  "+cmd.CommandPath()+" [command]", "", 1)
	fmt.Fprintf(cmd.OutOrStdout(), "%s\n\n%s", strings.TrimSpace(cmp.Or(cmd.Long, cmd.Short)), usage)
}

// newHelpCommand is cobra's own, but for a command that does not exist, of which cobra's takes no notice.
func newHelpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [command]",
		Short:   "Explain a command",
		Example: "  sandmeter help serve",
		RunE: func(cmd *cobra.Command, args []string) error {
			target, rest, err := cmd.Root().Find(args)
			if err != nil {
				return noArgs(cmd.Root(), rest)
			}
			if len(rest) > 0 {
				return noArgs(target, rest)
			}
			target.InitDefaultHelpFlag() // help shows it
			return target.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return commandNames(cmd.Root()), cobra.ShellCompDirectiveNoFileComp
		},
	}
}

// commandNames are the names of the commands that help shows.
func commandNames(root *cobra.Command) []string {
	var names []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// usageArgs makes what check finds wrong an error of the command line.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return usagef("%w; try: %s --help", err, cmd.CommandPath())
		}
		return nil
	}
}

// noArgs is for commands that take flags only. On the root command an argument is a command that does not exist.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasParent() {
		return usagef("%s takes no argument, and %q is one; try: %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	hint := "try: sandmeter --help"
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		hint = "did you mean " + strings.Join(similar, " or ") + "?"
	}
	return usagef("there is no command %q; %s", args[0], hint)
}

// envPrefix begins the names of the environment variables that stand for flags.
const envPrefix = "SANDMETER_"

// envName is the environment variable of a flag: SANDMETER_WEB_LISTEN_ADDRESS for --web.listen-address.
func envName(flag string) string {
	return envPrefix + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(flag))
}

// fromEnv sets the flags that were not given from their environment variables.
func fromEnv(flags *pflag.FlagSet) error {
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		value, set := os.LookupEnv(envName(f.Name))
		if f.Changed || !set || failed != nil {
			return
		}
		values := []string{value}
		if _, isList := f.Value.(listFlag); isList {
			values = strings.Split(value, ",")
		}
		for _, v := range values {
			if err := flags.Set(f.Name, v); err != nil {
				failed = usagef("environment variable %s: %w", envName(f.Name), err)
				return
			}
		}
	})
	return failed
}

// goFlagsFromEnv is fromEnv for flags of Go's.
func goFlagsFromEnv(flags *flag.FlagSet) error {
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	var failed error
	flags.VisitAll(func(f *flag.Flag) {
		value, set := os.LookupEnv(envName(f.Name))
		if given[f.Name] || !set || failed != nil {
			return
		}
		if err := flags.Set(f.Name, value); err != nil {
			failed = usagef("environment variable %s: %w", envName(f.Name), err)
		}
	})
	return failed
}
