// Command sandlab has tools for trying and testing a metric server: a demo with real sandboxes, and
// simulated sandboxes. It is not installed with the server, which contains none of its code.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/internal/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	code := run(ctx, os.Args[1:], cli.Stdio{Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}

// run runs a command line and returns the exit code.
func run(ctx context.Context, args []string, std cli.Stdio) int {
	root := newRootCommand(std)
	cli.Once(root)
	return cli.Exit("sandlab", cli.Execute(ctx, root, args), std)
}

func newRootCommand(std cli.Stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "sandlab",
		Short: "Tools for trying and testing a metric server for gVisor sandboxes",
		Long: "Sandlab starts sandboxes for a metric server: three real ones, with a server and a table of their metrics, or any number\n" +
			"of real or simulated ones.\n\n" +
			"The exit status is 0, 1 if the command failed, and 2 if the command line is wrong.",
		Example: "  sandlab demo --for 20s\n  sandlab simulate --sandboxes 100",
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(newDemoCommand(std), newNodeCommand(std), newSimulateCommand(std), newWorkloadCommand(std))
	cli.SetUp(root, std)
	return root
}
