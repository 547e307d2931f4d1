package runsc

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Check runs a sandbox to find out whether runsc works on this machine. The error says why not, and
// what to do. The program must exit with status 0 when called with args.
func Check(ctx context.Context, conf Config, args ...string) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("runsc cannot run sandboxes here: run as root, for example with sudo")
	}
	node, err := NewNode(conf)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := node.Close(); closeErr != nil {
			err = closeErr // more important than an earlier error
		}
	}()
	// Without -detach, runsc exits with the program's status, so that Check also fails if a sandbox
	// starts but cannot run the program.
	if err := node.RunToEnd(ctx, Container{ID: "check", Args: args}); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("runsc cannot run sandboxes here: %w; it needs all capabilities of root and no seccomp profile "+
			"that forbids ptrace, seccomp or mount: start an outer container with --privileged", err)
	}
	return nil
}
