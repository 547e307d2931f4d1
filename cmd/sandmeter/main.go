// Command sandmeter is the metric server for gVisor sandboxes, and the tools to look at them.
//
// Signals, flags, the environment and exit codes live in this package only; a file holds a command.
package main

import (
	"context"
	"os"
	"syscall"

	"github.com/sandmeter/sandmeter/internal/cli"
)

// programName begins the line that says why the program failed.
const programName = "sandmeter"

func main() {
	ctx, stop := stopOnSignals(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	code := run(ctx, os.Args[1:], cli.Stdio{Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}

// run is the program without its process: it returns the exit code.
func run(ctx context.Context, args []string, std cli.Stdio) int {
	return cli.Exit(programName, dispatch(ctx, args, std), std)
}
