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
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/metricclient"
)

// demoShutdown bounds the end of the demo's server.
const demoShutdown = 10 * time.Second

// demo shows sandboxes and their metrics, and cleans up after itself.
type demo struct {
	runsc     string
	real      bool
	simulated bool
	duration  time.Duration
	interval  time.Duration
}

func newDemoCommand(std cli.Stdio) *cobra.Command {
	var d demo
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Start three sandboxes and a server, and watch their metrics",
		Long: "Start three real sandboxes under a runtime root of their own, and a server, and watch the metrics until Ctrl-C. Nothing\n" +
			"is left behind. It needs root, and runsc: the program of --runsc, else of $" + runsc.EnvRunsc + ", else runsc beside this\n" +
			"program, else on PATH. Where real sandboxes cannot run, it says why and shows simulated ones, labelled as such on every\n" +
			"line. On a terminal the metrics stay in place; NO_COLOR in the environment turns colors off.",
		Example: "  sandlab demo --for 20s\n" +
			"  sandlab demo --real --runsc /usr/local/bin/runsc --interval 500ms\n" +
			"  sandlab demo --simulated",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context(), std) },
	}
	flags := cmd.Flags()
	flags.DurationVar(&d.duration, "for", 0, "end by itself after this `duration`, such as 20s; 0 means never")
	flags.DurationVar(&d.interval, "interval", 2*time.Second, "how often the metrics are shown")
	flags.StringVar(&d.runsc, "runsc", "", "the runsc `program`")
	flags.BoolVar(&d.real, "real", false, "fail where real sandboxes cannot run, rather than show simulated ones")
	flags.BoolVar(&d.simulated, "simulated", false, "show simulated sandboxes, also where real ones can run")
	return cmd
}

// demoSandbox is one of the demo's sandboxes.
type demoSandbox struct {
	id    string
	pod   runsc.Pod     // if it is one
	every time.Duration // its workload opens a file once in this time
}

// demoSandboxes are as different as they can be while each moves: also the one that idles does so as real programs do, which wake up now
// and then.
func demoSandboxes() []demoSandbox {
	return []demoSandbox{
		{id: "demo-idle", every: time.Second},
		{id: "demo-busy", every: busyEvery},
		{id: "demo-pod", every: 100 * time.Millisecond, pod: runsc.Pod{Sandbox: "demo-pod", Name: "web-0", Namespace: "shop"}},
	}
}

// describe returns what the sandbox is, for the user.
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

// run shows the demo. The end of the context, be it Ctrl-C during the start, is the usual end and no error.
func (d demo) run(ctx context.Context, std cli.Stdio) error {
	if d.interval <= 0 || d.duration < 0 {
		return cli.Usagef("--interval has to be more than 0, and --for not less than 0")
	}
	if d.real && d.simulated {
		return cli.Usagef("--real and --simulated exclude each other: give one of them")
	}
	// A terminal that is closed, or a pipe that nothing reads any more, must not end the demo before it has cleaned up.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGHUP)
	defer stop()
	ignored := make(chan os.Signal, 1)
	signal.Notify(ignored, syscall.SIGPIPE)
	defer signal.Stop(ignored)

	err := d.runNode(ctx, std)
	if ctx.Err() != nil && errors.Is(err, context.Canceled) && !errors.Is(err, runsc.ErrLeftBehind) {
		return nil
	}
	return err
}

// runNode runs the demo between the making and the removing of its node.
func (d demo) runNode(ctx context.Context, std cli.Stdio) (err error) {
	node, err := d.newNode(ctx, std)
	if err != nil {
		return err
	}
	defer func() {
		fmt.Fprintln(std.Err, "Ending the sandboxes and removing what they left…")
		err = andThen(err, node.Close())
	}()
	return d.serve(ctx, std, node)
}

// newNode makes the node of real sandboxes or, where they cannot run or are not wanted, that of simulated ones.
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

// serve runs the demo between the start and the end of its server.
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
	if err := client.SpawnServer(ctx, nil); err != nil { // the sandmeter beside this program, or on PATH
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

// envServer names the program that metricclient starts as a server.
const envServer = "SANDMETER_SERVER"

// unsetServerVariables makes the server that is started, which has our environment, one with the settings that the demo shows: others in the
// environment are for another server. Which programs to run is for the demo too.
func unsetServerVariables() {
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if strings.HasPrefix(name, cli.EnvPrefix) && name != runsc.EnvRunsc && name != envServer {
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

// andThen returns err, or the error of the clean-up, or both.
func andThen(err, cleanUp error) error {
	if err == nil || cleanUp == nil {
		return cmp.Or(err, cleanUp)
	}
	return fmt.Errorf("%w; then: %w", err, cleanUp)
}
