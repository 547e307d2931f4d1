// Command sandmeter is the metric server for gVisor sandboxes, with commands to inspect servers and
// sandboxes.
//
// Only this package handles signals, flags, the environment and exit codes. Each command has a
// file.
package main

import (
	"context"
	"os"
	"syscall"

	"github.com/sandmeter/sandmeter/internal/cli"
)

// programName begins the last line of a failed command.
const programName = "sandmeter"

func main() {
	ctx, stop := stopOnSignals(context.Background(), syscall.SIGINT, syscall.SIGTERM, syscall.SIGQUIT)
	code := run(ctx, os.Args[1:], cli.Stdio{Out: os.Stdout, Err: os.Stderr})
	stop()
	os.Exit(code)
}

// run runs a command line and returns the exit code.
func run(ctx context.Context, args []string, std cli.Stdio) int {
	return cli.Exit(programName, dispatch(ctx, args, std), std)
}
