package cli

import (
	"cmp"
	"context"
	"errors"
	"io"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// SetUp prepares the root command of a program for Execute, after all commands were added. It makes
// a failed write of help an error, and unknown arguments of help and completion too.
func SetUp(root *cobra.Command, std Stdio) {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetOut(&output{Writer: std.Out})
	root.SetErr(std.Err)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error {
		if wrong, ok := errors.AsType[*pflag.InvalidValueError](err); ok {
			return wrong.Unwrap() // it names the flag and the value
		}
		return err
	})
	root.SetHelpFunc(func(c *cobra.Command, _ []string) {
		columns := min(cmp.Or(TerminalWidth(std.Out), HelpWidth), HelpWidth)
		_, _ = io.WriteString(c.OutOrStdout(), help(c, columns)) // it keeps the error
	})
	root.InitDefaultVersionFlag()             // else cobra takes the word after --version for its value
	commands := slices.Clone(root.Commands()) // without cobra's own commands
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	describeFlags(root)
	for _, c := range root.Commands() {
		switch {
		case c.Name() == "help":
			c.Example = "  " + root.Name() + " help " + commands[0].Name()
			c.Args = checkTopic
		case !c.Runnable(): // completion: cobra would accept any arguments
			c.Example = "  source <(" + root.Name() + " " + c.Name() + " bash)"
			c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
}

// checkTopic returns an error unless the arguments of help name a command.
func checkTopic(help *cobra.Command, args []string) error {
	topic, rest, err := help.Root().Find(args)
	if err != nil {
		return err
	}
	return cobra.NoArgs(topic, rest)
}

// Execute runs a command line. Errors of cobra before the command begins are UsageErrors.
func Execute(ctx context.Context, root *cobra.Command, args []string) error {
	begun := false
	root.PersistentPreRun = func(*cobra.Command, []string) { begun = true }
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return root.OutOrStdout().(*output).err
	case begun:
		return err
	case cmd.Name() == "help":
		cmd = root
	}
	return Usagef("%s; try: %s --help", OneLine(err.Error()), cmd.CommandPath()) // cobra's suggestions have several lines
}

// output is the writer for cobra. It keeps the first error and returns none, since cobra ignores
// write errors or prints them and goes on.
type output struct {
	io.Writer
	err error // the first one
}

// Write writes p, unless a write has failed before.
func (o *output) Write(p []byte) (int, error) {
	if o.err == nil {
		_, o.err = o.Writer.Write(p)
	}
	return len(p), nil
}
