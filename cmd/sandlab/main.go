// Command sandlab has the tools for trying and testing a metric server: real sandboxes to look at, and simulated ones. It is not installed
// with the server, which has none of its code.
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

// run is the program without its process: it returns the exit code.
func run(ctx context.Context, args []string, std cli.Stdio) int {
	root := newRootCommand(std)
	cli.LimitToOnce(root)
	return cli.Exit("sandlab", cli.Execute(ctx, root, args), std)
}

func newRootCommand(std cli.Stdio) *cobra.Command {
	root := &cobra.Command{
		Use:   "sandlab",
		Short: "Tools for trying and testing a metric server for gVisor sandboxes",
		Long: "Sandlab starts sandboxes for a metric server to serve: three real ones with a server and a table of their metrics, or any\n" +
			"number of simulated ones.\n\n" +
			"It exits with 0, with 1 if a command fails, and with 2 if the command line is wrong.",
		Example: "  sandlab demo --for 20s\n  sandlab simulate --sandboxes 100",
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(newDemoCommand(std), newSimulateCommand(std), newWorkloadCommand(std))
	cli.SetUp(root, std)
	return root
}
