package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// demoStart is the time limit for the start of the demo's server.
const demoStart = 10 * time.Second

// demo shows sandboxes and their metrics, and removes everything at its end.
type demo struct {
	runsc    string
	real     bool
	duration time.Duration
	interval time.Duration
}

func newDemoCommand(std cli.Stdio) *cobra.Command {
	d := demo{interval: 2 * time.Second}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start three sandboxes and a server, and watch their metrics",
		Long: "Start three real sandboxes in a temporary runtime root, and a server, and show the output of `sandmeter list` and\n" +
			"`sandmeter get` again and again until Ctrl-C. Everything is removed at the end. The demo needs root privileges and runsc:\n" +
			"--runsc, $" + runsc.EnvRunsc + ", runsc next to this program, or runsc in PATH, in this order. If real sandboxes cannot run, the\n" +
			"demo prints the reason and shows simulated ones, with IDs that say so.",
		Example: "  sandlab demo --for 20s\n  sandlab demo --runsc /usr/local/bin/runsc",
		Args:    cobra.NoArgs,
		RunE:    func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context(), std) },
	}
	cli.Register(cmd, runscFlag(&d.runsc),
		config.Setting{Name: "for", Placeholder: "duration", Value: &d.duration, Help: "Stop after this duration, such as 20s. 0 means never."},
		config.Setting{Name: "interval", Placeholder: "duration", Value: &d.interval, Help: "Interval between updates."},
		config.Setting{Name: "real", Value: &d.real, Help: "Fail if real sandboxes cannot run, instead of showing simulated ones."})
	return cmd
}

// demoContainers returns sandboxes that differ as much as possible, with values that all grow: even
// an idle program wakes up now and then.
func demoContainers() []runsc.Container {
	return []runsc.Container{
		{ID: "demo-idle", Args: []string{"workload", "busy", "1s"}},
		{ID: "demo-busy", Args: []string{"workload", "busy"}},
		{ID: "demo-pod", Args: []string{"workload", "busy", "100ms"},
			Annotations: runsc.Pod{Sandbox: "demo-pod", Name: "web-0", Namespace: "shop"}.Annotations("demo-pod")},
	}
}

// run runs the demo. The end of the context, such as Ctrl-C during the start, is not an error.
func (d demo) run(ctx context.Context, std cli.Stdio) error {
	if d.interval <= 0 || d.duration < 0 {
		return cli.Usagef("--interval must be positive, and --for must not be negative")
	}
	ctx, stop := withoutTerminal(ctx)
	defer stop()
	return unlessInterrupted(ctx, d.runNode(ctx, std))
}

// runNode runs the demo with real sandboxes or, if they cannot run, with simulated ones.
func (d demo) runNode(ctx context.Context, std cli.Stdio) (err error) {
	node, whyNot := newRealNode(ctx, std, d.runsc)
	if whyNot != nil {
		if d.real || ctx.Err() != nil || errors.Is(whyNot, runsc.ErrLeftBehind) {
			return whyNot
		}
		fmt.Fprintf(std.Err, "No real sandboxes: %s. Showing simulated ones.\n", cli.OneLine(whyNot.Error()))
		return d.simulate(ctx, std)
	}
	defer func() {
		fmt.Fprintln(std.Err, "Stopping the sandboxes and removing their files…")
		err = andThen(err, node.Close())
	}()
	for _, c := range demoContainers() {
		fmt.Fprintf(std.Err, "Starting sandbox %s…\n", c.ID)
		c.MetricServer = serverSocket(node.Root())
		if err := node.Run(ctx, c); err != nil {
			return err
		}
		if _, err := node.Status(c.ID); err != nil {
			return fmt.Errorf("%w, although it was started: give the path of runsc with --runsc", err)
		}
	}
	return d.serve(ctx, std, node.Root())
}

// simulate runs the demo with simulated sandboxes.
func (d demo) simulate(ctx context.Context, std cli.Stdio) error {
	root, err := os.MkdirTemp("", "sandmeter-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(root)
	fleet, err := simulate.StartFleet(root, 3, simulate.FleetOptions{Prefix: "simulated-"})
	if err != nil {
		return err
	}
	return andThen(d.serve(ctx, std, root), fleet.Remove())
}

// serverSocket is where the demo's server listens.
func serverSocket(root string) string { return filepath.Join(root, "metrics.sock") }

// serve starts the server, shows its metrics, and stops it.
func (d demo) serve(ctx context.Context, std cli.Stdio, root string) error {
	socket := serverSocket(root)
	server := sandmeter(context.WithoutCancel(ctx), std, "serve", "--root", root, "--web.listen-address", socket, "--log.level=error")
	if err := server.Start(); err != nil {
		return err
	}
	defer func() {
		fmt.Fprintln(std.Err, "\nStopping the server…") // below the ^C of a terminal
		_ = server.Process.Signal(syscall.SIGTERM)
		_ = server.Wait()
	}()
	for end := time.Now().Add(demoStart); ; time.Sleep(10 * time.Millisecond) {
		if conn, err := net.Dial("unix", socket); err == nil {
			conn.Close()
			return d.show(ctx, std, socket)
		} else if time.Now().After(end) || ctx.Err() != nil {
			return cmp.Or(ctx.Err(), fmt.Errorf("the server does not listen: %w", err))
		}
	}
}

// sandmeter returns a command of the sandmeter next to this program, or in PATH. It does not get the
// settings of other servers from the environment, and no Ctrl-C.
func sandmeter(ctx context.Context, std cli.Stdio, args ...string) *exec.Cmd {
	program := "sandmeter"
	if self, err := os.Executable(); err == nil {
		if path, err := exec.LookPath(filepath.Join(filepath.Dir(self), program)); err == nil {
			program = path
		}
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Env = slices.DeleteFunc(os.Environ(), func(variable string) bool { return strings.HasPrefix(variable, cli.EnvPrefix) })
	cmd.Stdout, cmd.Stderr = std.Out, std.Err
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	return cmd
}

// show shows the sandboxes and one of their metrics again and again, on a terminal in the same place.
func (d demo) show(ctx context.Context, std cli.Stdio, socket string) error {
	before := ""
	if cli.IsTerminal(std.Out) {
		before = "\x1b[H\x1b[2J"
	}
	var end <-chan time.Time // never
	if d.duration > 0 {
		end = time.After(d.duration)
	}
	for again := time.Tick(d.interval); ; {
		if _, err := io.WriteString(std.Out, before); err != nil {
			return err
		}
		for _, args := range [][]string{{"list", "--address", socket}, {"get", "--address", socket, "--filter", "^fs_opens$"}} {
			if err := sandmeter(ctx, std, args...).Run(); err != nil {
				return cmp.Or(ctx.Err(), err)
			}
			if err := std.Printf("\n"); err != nil {
				return err
			}
		}
		if err := std.Printf("All metrics: curl --unix-socket %s http://sandmeter/metrics\nCtrl-C ends the demo.\n\n", socket); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end:
			return nil
		case <-again:
		}
	}
}

// andThen joins err and the error of the clean-up, if any.
func andThen(err, cleanUp error) error {
	if err == nil || cleanUp == nil {
		return cmp.Or(err, cleanUp)
	}
	return fmt.Errorf("%w; then: %w", err, cleanUp)
}
