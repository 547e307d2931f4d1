package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

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

// demoNode is a runtime root in a temporary directory, for the demo's sandboxes.
type demoNode interface {
	Dir() string
	Root() string
	// label begins every line about simulated sandboxes. It is empty for real ones.
	label() string
	// hints returns the reason for simulated sandboxes, unless that is --simulated.
	hints() []string
	// start starts a sandbox.
	start(ctx context.Context, s demoSandbox, metricServer string) error
	// Close stops the sandboxes and removes the directory. If something is left, the error is a
	// runsc.ErrLeftBehind.
	Close() error
}

// realNode is a demoNode with sandboxes of runsc.
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
	if err := runsc.Check(ctx, conf, "workload", workloadExit); err != nil {
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

func (realNode) label() string   { return "" }
func (realNode) hints() []string { return nil }

func (n realNode) start(ctx context.Context, s demoSandbox, metricServer string) error {
	c := runsc.Container{ID: s.id, Args: []string{"workload", workloadBusy, s.every.String()}, MetricServer: metricServer}
	if s.pod.Name != "" {
		c.Annotations = s.pod.Annotations(s.id)
	}
	return n.Run(ctx, c)
}

func (n realNode) Close() error {
	defer n.reap()
	return n.Node.Close()
}

// simulatedNode is a demoNode with simulated sandboxes.
type simulatedNode struct {
	dir       string
	whyNot    []string
	sandboxes []*simulate.Sandbox
}

// newSimulatedNode creates a node. If it replaces a real one, whyNot is the reason.
func newSimulatedNode(whyNot ...string) (demoNode, error) {
	temp, err := filepath.Abs(os.TempDir())
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(temp, "sandmeter-")
	if err != nil {
		return nil, err
	}
	n := &simulatedNode{dir: dir, whyNot: whyNot}
	if err := os.Mkdir(n.Root(), 0o755); err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

func (n *simulatedNode) Dir() string     { return n.dir }
func (n *simulatedNode) Root() string    { return filepath.Join(n.dir, "root") }
func (n *simulatedNode) label() string   { return "simulated" }
func (n *simulatedNode) hints() []string { return n.whyNot }

func (n *simulatedNode) start(_ context.Context, s demoSandbox, metricServer string) error {
	simulated, err := simulate.Start(n.Root(), simulate.Spec{
		ID: s.id, Pod: s.pod.Name, Namespace: s.pod.Namespace, MetricServer: metricServer,
		Behavior: busyBehavior(s.every),
	})
	if err != nil {
		return err
	}
	n.sandboxes = append(n.sandboxes, simulated)
	return nil
}

// busyBehavior makes a sandbox report the metrics of a busy workload.
func busyBehavior(every time.Duration) simulate.Behavior {
	var mu sync.Mutex
	var opens int64 // so far
	begun := time.Now()
	return func(x *simulate.Exchange) error {
		mu.Lock()
		more := int64(time.Since(begun)/every) - opens
		opens += more
		err := errors.Join(x.Sandbox.Add("fs_opens", nil, more), x.Sandbox.Add("fs_reads", nil, busyReadsPerOpen*more))
		mu.Unlock()
		if err != nil {
			return err
		}
		return simulate.Honest(x)
	}
}

func (n *simulatedNode) Close() error {
	var errs []error
	for _, s := range n.sandboxes {
		errs = append(errs, s.Remove())
	}
	if err := errors.Join(append(errs, os.RemoveAll(n.dir))...); err != nil {
		return fmt.Errorf("%w: %w", runsc.ErrLeftBehind, err)
	}
	return nil
}
