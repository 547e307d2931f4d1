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

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// simulatedPrefix begins the IDs of simulated sandboxes, and so the names of their files and cgroups.
const simulatedPrefix = "sim-"

// simulation is a simulated fleet.
type simulation struct {
	root      string
	count     int
	fleet     simulate.FleetOptions
	second    bool
	full      int
	processes bool
	cgroups   string
	late      time.Duration
	address   string
}

func newSimulateCommand(std cli.Stdio) *cobra.Command {
	var s simulation
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Simulate sandboxes, to try a metric server without runsc",
		Long: "Simulate honest sandboxes under a runtime root of their own, until Ctrl-C: state files and control sockets as runsc makes\n" +
			"them, and metrics that grow. Everything is removed at the end.\n\n" +
			"All sandboxes are in this process, unless --processes gives each a process of its own, and --cgroups a cgroup too.",
		Example: "  sandlab simulate --sandboxes 100\n" +
			"  sandlab simulate --root /tmp/simulated --sandboxes 1000 --points 170\n" +
			"  sandlab simulate --processes --cgroups /sys/fs/cgroup",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context(), std) },
	}
	flags := cmd.Flags()
	cli.RegisterRoot(cmd, &s.root, "runtime root, an existing `directory` (default: a new one)")
	flags.IntVarP(&s.count, "sandboxes", "n", 10, "how many sandboxes")
	flags.IntVar(&s.fleet.Points, "points", 60, "metrics of each that are not zero, 8 to 170")
	flags.BoolVar(&s.fleet.Static, "static", false, "values do not grow")
	flags.BoolVar(&s.fleet.ShuffleKeys, "shuffle-keys", false, "fields of JSON objects in replies are in other orders than runsc's")
	flags.BoolVar(&s.second, "two-releases", false, "every second sandbox is of another runsc release, with other metrics")
	flags.IntVar(&s.full, "full", 0, "how many of the sandboxes report every series that they registered")
	flags.DurationVar(&s.late, "late", 0, "how late the last sandbox replies")
	flags.BoolVar(&s.processes, "processes", false, "each sandbox has a process of its own, which sleeps")
	flags.StringVar(&s.cgroups, "cgroups", "", "`directory` of a cgroup, version 1 or 2, in which each process has one of its own; implies --processes")
	flags.StringVar(&s.address, "metric-server", "", "the `address` of the sandboxes' metric server (default "+simulate.DefaultMetricServer+")")
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
	fleet, err := simulate.StartFleet(s.root, s.count, s.options())
	if err != nil {
		reason := strings.ReplaceAll(err.Error(), "simulate: ", "") // a package name means nothing to users
		return fmt.Errorf("simulate sandboxes in %s: %s; %s", s.root, reason, s.advice(err))
	}
	defer func() { err = errors.Join(err, fleet.Remove()) }()
	if err := std.Printf("Simulating %d sandboxes in %s until Ctrl-C. To serve them:\n\n  sandmeter serve --root %s\n", s.count, s.root, s.root); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// check returns nil for flags that go together.
func (s simulation) check() error {
	switch points := s.fleet.Points; {
	case s.count < 1:
		return cli.Usagef("--sandboxes %d: simulate at least 1", s.count)
	case s.full < 0 || s.full > s.count || s.full > 0 && s.second:
		return cli.Usagef("--full %d: choose at most as many as there are sandboxes, all of one release", s.full)
	case points < 8 || points > 170:
		return cli.Usagef("--points %d: choose 8 to 170", points)
	}
	if s.cgroups == "" {
		return nil
	}
	// Every cgroup has this file, and no other directory.
	if _, err := os.Stat(filepath.Join(s.cgroups, "cgroup.procs")); err != nil {
		return fmt.Errorf("%w; --cgroups takes the directory of a cgroup, such as one in /sys/fs/cgroup", err)
	}
	return nil
}

// options are those of the fleet.
func (s simulation) options() simulate.FleetOptions {
	o := s.fleet
	o.Prefix = simulatedPrefix
	if s.second {
		o.Second = simulate.OtherRegistration()
	}
	all := simulate.AllSeries(simulate.RealRegistration())
	o.Spec = func(i int, spec *simulate.Spec) {
		spec.MetricServer = s.address
		spec.OwnProcess = s.processes || s.cgroups != ""
		if s.cgroups != "" {
			spec.Cgroup = filepath.Join(s.cgroups, spec.ID)
		}
		if i < s.full {
			spec.Points = all
		}
		if s.late > 0 && i == s.count-1 {
			spec.Behavior = simulate.Late(s.late)
		}
	}
	return o
}

// advice is what to do about a fleet that does not start.
func (s simulation) advice(err error) string {
	advice := "simulate fewer with --sandboxes, or elsewhere with --root"
	if s.cgroups != "" {
		advice = "choose another directory with --cgroups"
		if errors.Is(err, fs.ErrExist) {
			advice = "remove the cgroups " + filepath.Join(s.cgroups, simulatedPrefix+"*") + " unless another program uses them"
		}
	}
	return cmp.Or(cli.PermissionAdvice(err), advice)
}

// checkSimulatedRoot returns nil for a directory in which sandboxes can be simulated. Others that are there would be overwritten.
func checkSimulatedRoot(root string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return fmt.Errorf("%w; --root names an existing directory", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), simulatedPrefix) {
			return fmt.Errorf("%s has simulated sandboxes: end the program that simulates them, or remove %s", root, filepath.Join(root, "*"+simulatedPrefix+"*"))
		}
	}
	return nil
}
