package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/metricclient"
)

// demoShutdown is the time limit for the shutdown of the demo's server.
const demoShutdown = 10 * time.Second

// demo shows sandboxes and their metrics, and removes everything at its end.
type demo struct {
	runsc     string
	real      bool
	simulated bool
	duration  time.Duration
	interval  time.Duration
}

func newDemoCommand(std cli.Stdio) *cobra.Command {
	d := demo{interval: 2 * time.Second}
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start three sandboxes and a server, and watch their metrics",
		Long: "Start three real sandboxes in a temporary runtime root, and a server, and show the metrics until Ctrl-C. Everything is\n" +
			"removed at the end. The demo needs root privileges and runsc: --runsc, $" + runsc.EnvRunsc + ", runsc next to this program, or\n" +
			"runsc in PATH, in this order. If real sandboxes cannot run, the demo prints the reason and shows simulated ones, labeled\n" +
			"as such on every line. On a terminal the table is updated in place; NO_COLOR in the environment disables colors.",
		Example: "  sandlab demo --for 20s\n" +
			"  sandlab demo --real --runsc /usr/local/bin/runsc --interval 500ms\n" +
			"  sandlab demo --simulated",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context(), std) },
	}
	cli.Register(cmd, config.Setting{Name: "for", Placeholder: "duration", Value: &d.duration, Help: "Stop after this duration, such as 20s. 0 means never."},
		config.Setting{Name: "interval", Placeholder: "duration", Value: &d.interval, Help: "Interval between updates of the table."}, runscFlag(&d.runsc),
		config.Setting{Name: "real", Value: &d.real, Help: "Fail if real sandboxes cannot run, instead of showing simulated ones."},
		config.Setting{Name: "simulated", Value: &d.simulated, Help: "Show simulated sandboxes even if real ones can run."})
	return cmd
}

// demoSandbox is one of the demo's sandboxes.
type demoSandbox struct {
	id    string
	pod   runsc.Pod     // zero: not a pod
	every time.Duration // its workload opens a file once per interval
}

// demoSandboxes returns sandboxes that differ as much as possible, with values that all grow: even
// an idle program wakes up now and then.
func demoSandboxes() []demoSandbox {
	return []demoSandbox{
		{id: "demo-idle", every: time.Second},
		{id: "demo-busy", every: busyEvery},
		{id: "demo-pod", every: 100 * time.Millisecond, pod: runsc.Pod{Sandbox: "demo-pod", Name: "web-0", Namespace: "shop"}},
	}
}

// describe returns a description of the sandbox for the user.
func (s demoSandbox) describe(label string) string {
	details := fmt.Sprintf("opens a file every %v", s.every)
	if s.pod.Name != "" {
		details += "; annotated as a Kubernetes pod"
	}
	if label != "" {
		details = label + "; " + details
	}
	return s.id + " (" + details + ")"
}

// run runs the demo. The end of the context, such as Ctrl-C during the start, is not an error.
func (d demo) run(ctx context.Context, std cli.Stdio) error {
	if d.interval <= 0 || d.duration < 0 {
		return cli.Usagef("--interval must be positive, and --for must not be negative")
	}
	if d.real && d.simulated {
		return cli.Usagef("--real and --simulated exclude each other: give only one")
	}
	ctx, stop := withoutTerminal(ctx)
	defer stop()
	return unlessInterrupted(ctx, d.runNode(ctx, std))
}

// runNode creates the node, runs the demo, and removes the node.
func (d demo) runNode(ctx context.Context, std cli.Stdio) (err error) {
	node, err := d.newNode(ctx, std)
	if err != nil {
		return err
	}
	defer func() {
		fmt.Fprintln(std.Err, "Stopping the sandboxes and removing their files…")
		err = andThen(err, node.Close())
	}()
	return d.serve(ctx, std, node)
}

// newNode creates a node for real sandboxes or, if they cannot run or are not wanted, for simulated
// ones.
func (d demo) newNode(ctx context.Context, std cli.Stdio) (demoNode, error) {
	if d.simulated {
		return newSimulatedNode()
	}
	node, err := newRealNode(ctx, std, d.runsc)
	if err == nil || d.real || ctx.Err() != nil || errors.Is(err, runsc.ErrLeftBehind) {
		return node, err
	}
	whyNot := "No real sandboxes: " + cli.OneLine(err.Error())
	fmt.Fprintf(std.Err, "%s. Showing simulated ones.\n", whyNot)
	return newSimulatedNode(whyNot)
}

// demoSocket is where the demo's server listens.
func demoSocket(node demoNode) string { return filepath.Join(node.Dir(), "metrics.sock") }

// serve starts the sandboxes and the server, shows the table, and stops the server.
func (d demo) serve(ctx context.Context, std cli.Stdio, node demoNode) (err error) {
	sandboxes := demoSandboxes()
	for _, s := range sandboxes {
		fmt.Fprintf(std.Err, "Starting sandbox %s…\n", s.describe(node.label()))
		if err := node.start(ctx, s, demoSocket(node)); err != nil {
			return err
		}
	}
	client := metricclient.NewMetricClient(demoSocket(node), node.Root())
	defer client.Close()
	fmt.Fprintln(std.Err, "Starting the server…")
	unsetServerVariables()
	if err := client.SpawnServer(ctx, nil); err != nil { // the sandmeter next to this program, or in PATH
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), demoShutdown)
		defer cancel()
		fmt.Fprintln(std.Err, "\nStopping the server…") // below the ^C of a terminal
		if stopErr := client.ShutdownServer(ctx); stopErr != nil {
			err = andThen(err, fmt.Errorf("%w: %w", runsc.ErrLeftBehind, stopErr))
		}
	}()
	return d.show(ctx, std.Out, client, node, sandboxes)
}

// envServer is the environment variable for the program that metricclient starts as a server.
const envServer = "SANDMETER_SERVER"

// unsetServerVariables removes the settings of other servers from the environment, which the demo's
// server inherits. The variable for the program to run also applies to the demo.
func unsetServerVariables() {
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, cli.EnvPrefix) && name != envServer {
			os.Unsetenv(name)
		}
	}
}

// show shows a table every interval.
func (d demo) show(ctx context.Context, out io.Writer, client *metricclient.MetricClient, node demoNode, sandboxes []demoSandbox) error {
	notes := append(node.hints(), "The raw page:  curl --unix-socket "+demoSocket(node)+" http://sandmeter/metrics", d.howItEnds())
	for i, note := range notes {
		notes[i] = strings.Join(labeled(node.label(), note), "  ") + "\n"
	}
	view := newDisplay(out)
	if _, err := io.WriteString(out, strings.Join(notes, "")+"\n"); err != nil {
		return err
	}
	var end <-chan time.Time // never
	if d.duration > 0 {
		end = time.After(d.duration)
	}
	again := time.NewTicker(d.interval)
	defer again.Stop()
	var before []demoFacts
	for {
		page, err := client.GetMetrics(ctx, nil)
		if err != nil {
			return err
		}
		now, err := readDemo(page, sandboxes)
		if err != nil {
			return err
		}
		if before == nil {
			if err := checkStarted(now); err != nil {
				return err
			}
		}
		if err := view.show(demoTable(node.label(), before, now)); err != nil {
			return err
		}
		before = now
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end:
			return nil
		case <-again.C:
		}
	}
}

func (d demo) howItEnds() string {
	if d.duration > 0 {
		return fmt.Sprintf("Ends after %v, or with Ctrl-C.", d.duration)
	}
	return "Ends with Ctrl-C."
}

// andThen joins err and the error of the clean-up, if any.
func andThen(err, cleanUp error) error {
	if err == nil || cleanUp == nil {
		return cmp.Or(err, cleanUp)
	}
	return fmt.Errorf("%w; then: %w", err, cleanUp)
}
