package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/metricclient"
)

// demoShutdown bounds the end of the demo's server.
const demoShutdown = 10 * time.Second

// demo shows real sandboxes and their metrics, and cleans up after itself.
type demo struct {
	runsc    string
	duration time.Duration
	interval time.Duration
}

func newDemoCommand(std stdio) *cobra.Command {
	var d demo
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start three real sandboxes and a server, and watch their metrics",
		Long: "Start three real sandboxes under a runtime root of their own, and a server, and watch the metrics until Ctrl-C. Nothing\n" +
			"is left behind. It needs root, and runsc: the program of --runsc, else of $" + runsc.EnvRunsc + ", else runsc beside this\n" +
			"program, else on PATH.",
		Example: "  sandmeter demo --for 20s\n" +
			"  sandmeter demo --runsc /usr/local/bin/runsc --interval 500ms",
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context(), std) },
	}
	flags := cmd.Flags()
	flags.DurationVar(&d.duration, "for", 0, "end by itself after this `duration`, such as 20s; 0 means never")
	flags.DurationVar(&d.interval, "interval", 2*time.Second, "how often the metrics are shown")
	flags.StringVar(&d.runsc, "runsc", "", "the runsc `program`")
	return cmd
}

// demoSandbox is one of the demo's sandboxes.
type demoSandbox struct {
	runsc.Container
	pod  runsc.Pod
	what string
}

func demoSandboxes(address string) []demoSandbox {
	pod := runsc.Pod{Sandbox: "demo-pod", Name: "web-7d8b49557c-abcde", Namespace: "shop"}
	sandboxes := []demoSandbox{
		{Container: runsc.Container{ID: "demo-idle", Args: []string{"workload", workloadIdle}}, what: "idle"},
		{Container: runsc.Container{ID: "demo-busy", Args: []string{"workload", workloadBusy}}, what: "opens and reads files"},
		{Container: runsc.Container{ID: pod.Sandbox, Args: []string{"workload", workloadTouch, "100"}, Annotations: pod.Annotations(pod.Sandbox)},
			pod: pod, what: "annotated as a Kubernetes pod"},
	}
	for i := range sandboxes {
		sandboxes[i].MetricServer = address
	}
	return sandboxes
}

// run shows the demo. The end of the context, be it Ctrl-C during the start, is the usual end and no error.
func (d demo) run(ctx context.Context, std stdio) error {
	if d.interval <= 0 || d.duration < 0 {
		return usagef("--interval has to be more than 0, and --for not less than 0")
	}
	// A terminal that is closed, or a reader of the output who has had enough, must not end us before we have cleaned up.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
	defer stop()
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGPIPE)
	defer signal.Stop(ignored)

	err := d.show(ctx, std)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) && !errors.Is(err, runsc.ErrLeftBehind) {
		return nil
	}
	return err
}

// show runs the demo between the making and the removing of its node.
func (d demo) show(ctx context.Context, std stdio) (err error) {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	path, err := runsc.Find(d.runsc)
	if err != nil {
		return err
	}
	reap, err := runsc.AdoptOrphans()
	if err != nil {
		return err
	}
	defer reap()
	conf := runsc.Config{Runsc: path, Program: self}
	fmt.Fprintf(std.err, "Trying whether %s can run a sandbox here…\n", path)
	if err := runsc.Check(ctx, conf, "workload", workloadExit); err != nil {
		return err
	}
	node, err := runsc.NewNode(conf)
	if err != nil {
		return err
	}
	defer func() {
		fmt.Fprintln(std.err, "Ending the sandboxes and removing what they left…")
		err = andThen(err, node.Close())
	}()
	return d.serve(ctx, std, node, self)
}

// serve runs the demo between the start and the end of its server.
func (d demo) serve(ctx context.Context, std stdio, node *runsc.Node, self string) (err error) {
	socket := filepath.Join(node.Dir(), "metrics.sock")
	sandboxes := demoSandboxes(socket)
	for _, s := range sandboxes {
		fmt.Fprintf(std.err, "Starting sandbox %s (%s)…\n", s.ID, s.what)
		if err := node.Run(ctx, s.Container); err != nil {
			return err
		}
	}
	client := metricclient.NewMetricClient(socket, node.Root())
	defer client.Close()
	fmt.Fprintln(std.err, "Starting the server…")
	if err := client.SpawnServer(ctx, &config.Config{ServerPath: self}); err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), demoShutdown)
		defer cancel()
		fmt.Fprintln(std.err, "\nStopping the server…") // below the ^C of a terminal
		if stopErr := client.ShutdownServer(ctx); stopErr != nil {
			err = andThen(err, fmt.Errorf("%w: %w", runsc.ErrLeftBehind, stopErr))
		}
	}()
	fmt.Fprintf(std.out, "\nThe raw page:  curl --unix-socket %s http://sandmeter/metrics\n", socket)
	if d.duration > 0 {
		fmt.Fprintf(std.out, "Ends after %v, or with Ctrl-C.\n", d.duration)
	} else {
		fmt.Fprintln(std.out, "Ends with Ctrl-C.")
	}
	return d.watch(ctx, std.out, client, sandboxes)
}

// watch shows a table every interval.
func (d demo) watch(ctx context.Context, out io.Writer, client *metricclient.MetricClient, sandboxes []demoSandbox) error {
	var end <-chan time.Time // never
	if d.duration > 0 {
		end = time.After(d.duration)
	}
	again := time.NewTicker(d.interval)
	defer again.Stop()
	for {
		page, err := client.GetMetrics(ctx, nil)
		if err != nil {
			return err
		}
		if err := writeDemoTable(out, page, sandboxes); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-end:
			return nil
		case <-again.C:
		}
	}
}

// andThen is what to tell after err when the clean-up failed too, or did not.
func andThen(err, cleanUp error) error {
	if err == nil || cleanUp == nil {
		return cmp.Or(err, cleanUp)
	}
	return fmt.Errorf("%w; then: %w", err, cleanUp)
}
