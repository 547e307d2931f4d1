package runsc

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Check tells whether runsc can run sandboxes here, by running one. The error says why not, and what to do. The program has to end with
// status 0 when it is called with args.
func Check(ctx context.Context, conf Config, args ...string) (err error) {
	if os.Geteuid() != 0 {
		return errors.New("runsc cannot run sandboxes here: it needs root; run this as root, for instance with sudo")
	}
	node, err := NewNode(conf)
	if err != nil {
		return err
	}
	defer func() {
		if closeErr := node.Close(); closeErr != nil {
			err = closeErr // worse than anything that came before
		}
	}()
	// Without -detach, runsc ends with the program's own status: a platform that starts and then cannot run a program shows, too.
	if err := node.launch(ctx, Container{ID: "check", Args: args}, "run"); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return fmt.Errorf("runsc cannot run sandboxes here: %w; it needs all of root's capabilities and no seccomp profile "+
			"that forbids ptrace, seccomp or mount: in a container, start that with --privileged", err)
	}
	return nil
}
