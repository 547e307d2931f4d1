package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// simulatedPrefix begins the IDs of sandboxes that are played, and so the names of their files.
const simulatedPrefix = "sim-"

// simulation is a simulated fleet.
type simulation struct {
	root    string
	count   int
	fleet   simulate.FleetOptions
	second  bool
	full    int
	own     bool
	cgroups string
	late    time.Duration
	address string
}

func newSimulateCommand(std cli.Stdio) *cobra.Command {
	var s simulation
	cmd := &cobra.Command{
		Use:   "simulate",
		Short: "Play sandboxes, for trying things without runsc",
		Long: "Play honest sandboxes under a runtime root of their own, until Ctrl-C: state files and control sockets as runsc makes them,\n" +
			"and metrics that grow. Removes them at the end.",
		Example: "  sandlab simulate --sandboxes 100\n" +
			"  sandlab simulate --root /tmp/simulated --sandboxes 1000 --points 170",
		Args: cli.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return s.run(cmd.Context(), std) },
	}
	flags := cmd.Flags()
	cli.RegisterRoot(cmd, &s.root, "runtime root, an existing `directory` (default: one of its own)")
	flags.IntVarP(&s.count, "sandboxes", "n", 10, "how many sandboxes")
	flags.IntVar(&s.fleet.Points, "points", 60, "metrics of each that are not zero, 8 to 170")
	flags.BoolVar(&s.fleet.Static, "static", false, "let no value grow")
	flags.BoolVar(&s.fleet.ShuffleKeys, "shuffle-keys", false, "answer with the members of JSON objects in other orders than runsc's")
	flags.BoolVar(&s.second, "two-releases", false, "let every second sandbox be of another runsc release, with other metrics")
	flags.IntVar(&s.full, "full", 0, "how many of the sandboxes report every series that they registered")
	flags.DurationVar(&s.late, "late", 0, "how late the last sandbox replies")
	flags.BoolVar(&s.own, "processes", false, "give each sandbox a process of its own, which sleeps")
	flags.StringVar(&s.cgroups, "cgroups", "", "`directory` of a cgroup in which each of these processes gets one of its own")
	flags.StringVar(&s.address, "metric-server", "", "the `address` that the sandboxes name as their metric server (default: some)")
	return cmd
}

func (s simulation) run(ctx context.Context, std cli.Stdio) (err error) {
	if s.count < 1 {
		return cli.Usagef("--sandboxes %d: play at least 1", s.count)
	}
	if s.full < 0 || s.full > s.count || s.full > 0 && s.second {
		return cli.Usagef("--full %d: choose at most as many as there are sandboxes, all of one release", s.full)
	}
	if points := s.fleet.Points; points < 8 || points > 170 {
		return cli.Usagef("--points %d: choose 8 to 170", points)
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
	if s.second {
		s.fleet.Second = simulate.OtherRegistration()
	}
	s.fleet.Prefix = simulatedPrefix
	all := simulate.AllSeries(simulate.RealRegistration())
	s.fleet.Spec = func(i int, spec *simulate.Spec) {
		spec.MetricServer = s.address
		spec.OwnProcess = s.own || s.cgroups != ""
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
	fleet, err := simulate.StartFleet(s.root, s.count, s.fleet)
	if err != nil {
		reason := strings.ReplaceAll(err.Error(), "simulate: ", "") // a package says nothing to people
		return fmt.Errorf("play sandboxes in %s: %s; %s", s.root, reason, cmp.Or(cli.PermissionAdvice(err), "play fewer with --sandboxes, or elsewhere with --root"))
	}
	defer func() { err = errors.Join(err, fleet.Remove()) }()
	if err := std.Printf("Playing %d sandboxes in %s until Ctrl-C. To serve them:\n\n  sandmeter serve --root %s\n", s.count, s.root, s.root); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// checkSimulatedRoot returns nil for a directory in which sandboxes can be played. Where some are, ours would take their places.
func checkSimulatedRoot(root string) error {
	entries, err := os.ReadDir(root)
	if err != nil {
		return fmt.Errorf("%w; --root names an existing directory", err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), simulatedPrefix) {
			return fmt.Errorf("%s has simulated sandboxes: end the program that plays them, or remove %s", root, filepath.Join(root, "*"+simulatedPrefix+"*"))
		}
	}
	return nil
}
