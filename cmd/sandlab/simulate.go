package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// simulatedPrefix is the prefix of the IDs of simulated sandboxes, and of the names of their
// cgroups.
const simulatedPrefix = "sim-"

const (
	// maxChurn is more than a machine can start.
	maxChurn = 1000
	// How long a sandbox lives in a churn.
	minLife = 2 * time.Second
	maxLife = 5 * time.Second
)

// simulation is a simulated fleet.
type simulation struct {
	root      string
	count     int
	points    int
	static    bool
	shuffle   bool
	second    bool
	processes bool
	cgroups   []string
	networks  bool
	churn     int
	address   string
}

func newSimulateCommand(std cli.Stdio) *cobra.Command {
	s := simulation{count: 10, points: 60}
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Simulate sandboxes to try a metric server without runsc",
		Long: "Simulate sandboxes in a runtime root until Ctrl-C, with state files and control sockets like those of runsc, and metrics\n" +
			"that grow. Everything is removed at the end.\n\n" +
			"By default all sandboxes run in one process. With --processes each has its own process, with --cgroups also its own cgroups,\n" +
			"and with --networks also its own network namespace.",
		Example: "  sandlab simulate --sandboxes 100\n" +
			"  sandlab simulate --root /tmp/simulated --sandboxes 1000 --points 170\n" +
			"  sandlab simulate --processes --cgroups /sys/fs/cgroup",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context(), std) },
	}
	cli.Register(cmd, cli.Root(&s.root, "Runtime root: an existing directory. (default: a temporary one)"),
		config.Setting{Name: "sandboxes", Placeholder: "number", Value: &s.count, Help: "Number of sandboxes."},
		config.Setting{Name: "points", Placeholder: "number", Value: &s.points, Help: "Number of samples per sandbox that are not zero, 8 to 170."},
		config.Setting{Name: "static", Value: &s.static, Help: "Keep all values constant."},
		config.Setting{Name: "shuffle-keys", Value: &s.shuffle, Help: "Write the fields of JSON objects in replies in another order than runsc."},
		config.Setting{Name: "two-releases", Value: &s.second, Help: "Give every second sandbox the metrics of another runsc release."},
		config.Setting{Name: "processes", Value: &s.processes, Help: "Start a process, which sleeps, for each sandbox."},
		config.Setting{Name: "cgroups", Placeholder: "directory", Value: &s.cgroups,
			Help: "Create a cgroup for each process in this directory of a cgroup, version 1 or 2. Implies --processes. Repeatable."},
		config.Setting{Name: "networks", Value: &s.networks, Help: "Create a network namespace for each process. Implies --processes."},
		config.Setting{Name: "churn", Placeholder: "number", Value: &s.churn,
			Help: "Start this number of sandboxes per second, each of which lives 2 to 5 s, in place of --sandboxes."},
		config.Setting{Name: "metric-server", Placeholder: "address", Value: &s.address,
			Help: "The --metric-server address of the sandboxes. (default " + simulate.DefaultMetricServer + ")"})
	return cmd
}

// run simulates the fleet until the context ends.
func (s simulation) run(ctx context.Context, std cli.Stdio) (err error) {
	if err := s.check(); err != nil {
		return err
	}
	if s.root == "" {
		if s.root, err = os.MkdirTemp("", "sandmeter-"); err != nil {
			return err
		}
		defer os.RemoveAll(s.root)
	}
	if err := checkSimulatedRoot(s.root); err != nil {
		return err
	}
	if s.churn > 0 {
		return s.runChurn(ctx, std)
	}
	fleet, err := simulate.StartFleet(s.root, s.count, s.options())
	if err != nil {
		return s.failed(err)
	}
	defer func() { err = errors.Join(err, fleet.Remove()) }()
	if err := std.Printf("Simulating %d sandboxes in %s until Ctrl-C. To serve them:\n\n  sandmeter serve --root %s\n", s.count, s.root, s.root); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// runChurn simulates sandboxes that come and go until the context ends. At the end it prints how long
// they waited for their first query.
func (s simulation) runChurn(ctx context.Context, std cli.Stdio) error {
	err := std.Printf("Simulating %d sandboxes per second in %s until Ctrl-C. To serve them:\n\n  sandmeter serve --root %s\n", s.churn, s.root, s.root)
	if err != nil {
		return err
	}
	o := simulate.ChurnOptions{FleetOptions: s.options(), Rate: s.churn}
	o.Life.Min, o.Life.Max = minLife, maxLife
	stats, err := simulate.Churn(ctx, s.root, o)
	if err != nil {
		return s.failed(err)
	}
	return std.Printf("%d lives, %d of them queried. First query after the state file: %.1f ms (median), %.1f ms (99 %%), %.1f ms (longest). %d not started on time.\n",
		stats.Lives, len(stats.Waits), ms(stats.Percentile(0.5)), ms(stats.Percentile(0.99)), ms(stats.Percentile(1)), stats.Skipped)
}

func ms(d time.Duration) float64 { return d.Seconds() * 1000 }

// failed returns an error with advice for one of package simulate.
func (s simulation) failed(err error) error {
	reason := strings.ReplaceAll(err.Error(), "simulate: ", "") // package names mean nothing to users
	return fmt.Errorf("simulate sandboxes in %s: %s; %s", s.root, reason, s.advice(err))
}

// check returns an error if flags are invalid or exclude each other.
func (s simulation) check() error {
	switch {
	case s.count < 1:
		return cli.Usagef("--sandboxes %d: must be at least 1", s.count)
	case s.churn < 0 || s.churn > maxChurn:
		return cli.Usagef("--churn %d: must be 0 to %d", s.churn, maxChurn)
	case s.churn > 0 && s.second:
		return cli.Usagef("--churn excludes --two-releases")
	case s.points < 8 || s.points > 170:
		return cli.Usagef("--points %d: must be 8 to 170", s.points)
	}
	for _, dir := range s.cgroups {
		// Every cgroup has this file, and no other directory has it.
		if _, err := os.Stat(filepath.Join(dir, "cgroup.procs")); err != nil {
			return fmt.Errorf("%w; give --cgroups the directory of a cgroup, such as one in /sys/fs/cgroup", err)
		}
	}
	return nil
}

// options returns the options of the fleet.
func (s simulation) options() simulate.FleetOptions {
	o := simulate.FleetOptions{Prefix: simulatedPrefix, Points: s.points}
	if s.second {
		o.Second = simulate.OtherRegistration()
	}
	o.Spec = func(_ int, spec *simulate.Spec) {
		spec.MetricServer = s.address
		spec.ShuffleKeys = s.shuffle
		if s.static {
			spec.Growth = 0
		}
		spec.OwnProcess = s.processes || s.networks || len(s.cgroups) > 0
		spec.OwnNetwork = s.networks
		for _, dir := range s.cgroups {
			spec.Cgroups = append(spec.Cgroups, filepath.Join(dir, spec.ID))
		}
	}
	return o
}

// advice returns what to do about a fleet that does not start.
func (s simulation) advice(err error) string {
	advice := "simulate fewer with --sandboxes, or elsewhere with --root"
	if len(s.cgroups) > 0 {
		advice = "choose another directory with --cgroups"
		if errors.Is(err, fs.ErrExist) {
			advice = "remove the cgroups " + filepath.Join(s.cgroups[0], simulatedPrefix+"*") + " unless another program uses them"
		}
	}
	return cmp.Or(cli.PermissionAdvice(err), advice)
}

// checkSimulatedRoot returns an error unless root is a directory without simulated sandboxes, which
// would be overwritten.
func checkSimulatedRoot(root string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return fmt.Errorf("%w; give --root an existing directory", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), simulatedPrefix) {
			return fmt.Errorf("%s has simulated sandboxes: stop the program that simulates them, or remove %s", root, filepath.Join(root, "*"+simulatedPrefix+"*"))
		}
	}
	return nil
}
