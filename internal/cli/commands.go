package cli

import (
	"context"
	"io"
	"slices"

	"github.com/spf13/cobra"
)

// SetUp prepares the root command of a program for Execute, once it has all its commands. What it adds to cobra is that help which cannot
// be written is an error, and so is an argument of help or completion that means nothing.
func SetUp(root *cobra.Command, std Stdio) {
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetOut(&output{Writer: std.Out})
	root.SetErr(std.Err)
	root.InitDefaultVersionFlag()             // cobra takes the word behind an unknown flag for its value
	commands := slices.Clone(root.Commands()) // without those of cobra
	root.InitDefaultCompletionCmd()
	root.InitDefaultHelpCmd()
	for _, c := range root.Commands() {
		switch {
		case c.Name() == "help":
			c.Example = "  " + root.Name() + " help " + commands[0].Name()
			c.Args = checkTopic
		case !c.Runnable(): // completion: cobra shows its help whatever the arguments are
			c.Example = "  source <(" + root.Name() + " " + c.Name() + " bash)"
			c.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		}
	}
}

// checkTopic returns nil when the arguments of help name a command.
func checkTopic(help *cobra.Command, args []string) error {
	topic, rest, err := help.Root().Find(args)
	if err != nil {
		return err
	}
	return cobra.NoArgs(topic, rest)
}

// Execute runs a command line. An error that cobra finds before the command begins is one of the command line.
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
	return Usagef("%s; try: %s --help", OneLine(err.Error()), cmd.CommandPath()) // cobra's suggestions have lines
}

// output is where cobra writes. cobra drops errors of writing, or writes them to standard error and goes on, so it is told of none.
type output struct {
	io.Writer
	err error // the first one
}

// Write writes until there is an error.
func (o *output) Write(p []byte) (int, error) {
	if o.err == nil {
		_, o.err = o.Writer.Write(p)
	}
	return len(p), nil
}
