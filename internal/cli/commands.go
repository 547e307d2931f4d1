package cli

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

// SetUp gives the root command of a program what all have in common: where it writes, how it explains itself, and that what is wrong with a command
// line is a UsageError.
func SetUp(root *cobra.Command, std Stdio, helpExample string) {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SuggestionsMinimumDistance = 2
	root.SetOut(std.Out)
	root.SetErr(std.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return Usagef("%w; try: %s --help", err, cmd.CommandPath())
	})
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { writeHelp(cmd) })
	root.SetHelpCommand(newHelpCommand(helpExample))
}

// CommandNames are the names of the commands that help shows.
func CommandNames(root *cobra.Command) []string {
	var names []string
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	return names
}

// UsageArgs makes what check finds wrong an error of the command line.
func UsageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if err := check(cmd, args); err != nil {
			return Usagef("%w; try: %s --help", err, cmd.CommandPath())
		}
		return nil
	}
}

// NoArgs is for commands that take flags only. On the root command an argument is a command that does not exist.
func NoArgs(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if cmd.HasParent() {
		return Usagef("%s takes no argument, and %q is one; try: %s --help", cmd.CommandPath(), args[0], cmd.CommandPath())
	}
	hint := "try: " + cmd.CommandPath() + " --help"
	if similar := cmd.SuggestionsFor(args[0]); len(similar) > 0 {
		hint = "did you mean " + strings.Join(similar, " or ") + "?"
	}
	return Usagef("there is no command %q; %s", args[0], hint)
}

// writeHelp is cobra's own help, but for a second line of usage, of a command that has commands, which says the same as the first.
func writeHelp(cmd *cobra.Command) {
	usage := strings.Replace(cmd.UsageString(), "\n  "+cmd.CommandPath()+" [command]", "", 1)
	fmt.Fprintf(cmd.OutOrStdout(), "%s\n\n%s", strings.TrimSpace(cmp.Or(cmd.Long, cmd.Short)), usage)
}

// newHelpCommand is cobra's own, but for a command that does not exist, of which cobra's takes no notice.
func newHelpCommand(example string) *cobra.Command {
	return &cobra.Command{
		Use:     "help [command]",
		Short:   "Explain a command",
		Example: example,
		RunE: func(cmd *cobra.Command, args []string) error {
			target, rest, err := cmd.Root().Find(args)
			if err != nil {
				return NoArgs(cmd.Root(), rest)
			}
			if len(rest) > 0 {
				return NoArgs(target, rest)
			}
			target.InitDefaultHelpFlag() // help shows it
			return target.Help()
		},
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return CommandNames(cmd.Root()), cobra.ShellCompDirectiveNoFileComp
		},
	}
}
