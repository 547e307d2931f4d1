package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/runsc"
)

// fullNode is a runtime root with real sandboxes.
type fullNode struct {
	runsc string
	count int
}

func newNodeCommand(std cli.Stdio) *cobra.Command {
	n := fullNode{count: 10}
	cmd := &cobra.Command{
		Use:   "node",
		Short: "Run real sandboxes to try a metric server on a full node",
		Long: "Run real, idle sandboxes in a temporary runtime root until Ctrl-C, each with a cgroup of its own. Everything is removed\n" +
			"at the end. Needs root privileges and runsc: --runsc, $" + runsc.EnvRunsc + ", runsc next to this program, or runsc in PATH,\n" +
			"in this order.",
		Example: "  sandlab node --sandboxes 50",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return n.run(cmd.Context(), std) },
	}
	cli.Register(cmd, config.Setting{Name: "sandboxes", Placeholder: "number", Value: &n.count, Help: "Number of sandboxes."}, runscFlag(&n.runsc))
	return cmd
}

// runscFlag returns the flag for the runsc that runs the sandboxes.
func runscFlag(path *string) config.Setting {
	return config.Setting{Name: "runsc", Placeholder: "file", Value: path, Help: "Path of the runsc program."}
}

// run runs the sandboxes until the context ends.
func (n fullNode) run(ctx context.Context, std cli.Stdio) error {
	if n.count < 1 {
		return cli.Usagef("--sandboxes %d: must be at least 1", n.count)
	}
	ctx, stop := withoutTerminal(ctx)
	defer stop()
	return unlessInterrupted(ctx, n.runNode(ctx, std))
}

// runNode creates the node, starts its sandboxes, and removes all at the end of the context.
func (n fullNode) runNode(ctx context.Context, std cli.Stdio) (err error) {
	node, err := newRealNode(ctx, std, n.runsc)
	if err != nil {
		return err
	}
	defer func() { err = andThen(err, node.Close()) }()
	if err := n.start(ctx, node); err != nil {
		return err
	}
	if err := std.Printf("Running %d sandboxes in %s until Ctrl-C. To serve them:\n\n  sandmeter serve --root %s\n", n.count, node.Root(), node.Root()); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// start starts the sandboxes, one after the other. Their IDs are also the names of cgroups, so they
// are unique on the machine.
func (n fullNode) start(ctx context.Context, node realNode) error {
	for i := range n.count {
		c := runsc.Container{
			ID:           fmt.Sprintf("sandlab-%d-%04d", os.Getpid(), i),
			Args:         []string{"workload", "idle"},
			Cgroup:       true,
			MetricServer: serverSocket(node.Root()),
		}
		if err := node.Run(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// withoutTerminal returns a context that ends when the terminal is closed. Until stop, neither that
// nor a broken pipe ends the program, which has to remove its sandboxes first.
func withoutTerminal(ctx context.Context) (_ context.Context, stop func()) {
	ctx, cancel := signal.NotifyContext(ctx, syscall.SIGHUP)
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGPIPE)
	return ctx, func() {
		signal.Stop(ignored)
		cancel()
	}
}

// unlessInterrupted returns the error, but none if the end of the context, such as Ctrl-C during
// the start, is the reason and nothing is left behind.
func unlessInterrupted(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, context.Canceled) && !errors.Is(err, runsc.ErrLeftBehind) {
		return nil
	}
	return err
}

// realNode is a node that also adopts orphans of its sandboxes.
type realNode struct {
	*runsc.Node
	reap func() int
}

// newRealNode creates a node if real sandboxes can run. The error has the reason if they cannot.
func newRealNode(ctx context.Context, std cli.Stdio, givenRunsc string) (_ realNode, err error) {
	conf := runsc.Config{}
	if conf.Program, err = os.Executable(); err != nil {
		return realNode{}, err
	}
	if conf.Runsc, err = runsc.Find(givenRunsc); err != nil {
		return realNode{}, err
	}
	reap, err := runsc.AdoptOrphans()
	if err != nil {
		return realNode{}, err
	}
	defer func() {
		if err != nil {
			reap()
		}
	}()
	if sentry, ok := runsc.Sentry(conf.Runsc); !ok {
		fmt.Fprintf(std.Err, "%s is missing, so runsc runs sandboxes itself, which gVisor supports until 2026-10: install a complete release.\n", sentry)
	}
	fmt.Fprintf(std.Err, "Checking whether %s can run a sandbox…\n", conf.Runsc)
	if err := runsc.Check(ctx, conf, "workload", "exit"); err != nil {
		if named := cmp.Or(givenRunsc, os.Getenv(runsc.EnvRunsc)); named != "" {
			err = fmt.Errorf("%w; if %s is not runsc, give the path of runsc with --runsc", err, named)
		}
		return realNode{}, err
	}
	node, err := runsc.NewNode(conf)
	if err != nil {
		return realNode{}, err
	}
	return realNode{node, reap}, nil
}

func (n realNode) Close() error {
	defer n.reap()
	return n.Node.Close()
}
