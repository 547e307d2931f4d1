package main

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/clientconfig"
	"github.com/sandmeter/sandmeter/internal/doctor"
	"github.com/sandmeter/sandmeter/internal/doctor/observe"
	"github.com/sandmeter/sandmeter/metricclient"
	"github.com/sandmeter/sandmeter/metricserver"
)

// doctorProc is where doctor looks for processes, and doctorAddress where it looks for a server whose
// process it does not see. Tests replace both.
var (
	doctorProc    = "/proc"
	doctorAddress = defaultListenAddress
)

// doctorCommand finds out which sandboxes are served, and why others are not.
type doctorCommand struct {
	server serverFlags
	local  metricserver.Options // of the server in this process
	roots  []string
	json   bool

	rootGiven, addressGiven bool
}

func newDoctorCommand(std cli.Stdio) *cobra.Command {
	var d doctorCommand
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find out which sandboxes are served, and why others are not",
		Long: "Find the servers of this node, ask each one to describe itself, and compare the result with the runtime roots and the processes\n" +
			"of sandboxes. For each sandbox without metrics, the output says why, and what to change. If there is no server, this command\n" +
			"examines the runtime roots itself, as a server would. docs/doctor.md describes each cause.\n\n" +
			"Run it as root, in the host's PID namespace. It finds servers of root and of this user by their listening sockets; with\n" +
			"--address, it looks at that server only. It examines the usual runtime roots, SANDMETER_ROOT, and the roots of running\n" +
			"sandboxes, or only --root. It changes nothing, and takes some seconds, at most a minute.\n\n" +
			"The exit status is 0 if there is no problem, although there may be warnings, 1 if there is a problem, and 2 if the command\n" +
			"line is wrong. With --json, the output also has all observations; it has no passwords, but names of pods.",
		Example: "  sandmeter doctor\n" +
			"  sandmeter doctor --root /run/containerd/runsc/k8s.io --address /run/sandmeter.sock\n" +
			"  sandmeter doctor --json",
		Args: cobra.NoArgs,
		PreRunE: func(cmd *cobra.Command, _ []string) error {
			d.rootGiven = cmd.Flags().Changed("root")
			err := cli.FromEnv(cmd.Flags())
			d.addressGiven = cmd.Flags().Changed("address")
			return err
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return d.run(cmd.Context(), std) },
	}
	d.server.address = doctorAddress
	cli.Register(cmd, slices.Concat(d.server.settings(), only(d.local.Settings(), "runsc"), []config.Setting{
		{Name: "root", Placeholder: "directory", Value: &d.roots, Path: true,
			Help: "Examine only this runtime root: a directory, or a glob. Repeatable. (default: all that are found)"},
		jsonFlag(&d.json, "text")})...)
	return cmd
}

func (d *doctorCommand) run(ctx context.Context, std cli.Stdio) error {
	o, err := d.options()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("not finished within a minute: a system call does not return"))
	defer cancel()
	observed := make(chan *doctor.Observed, 1)
	go func() { observed <- observe.Node(ctx, o) }()
	var report *doctor.Report
	select {
	case seen := <-observed:
		report = doctor.Examine(seen, programVersion())
	case <-ctx.Done(): // without waiting for a system call that hangs
	}
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case d.json:
		err = writeJSON(std.Out, report)
	default:
		err = newDoctorText(std.Out).write(report)
	}
	if err == nil && report.Level == doctor.Problem {
		err = cli.Logged(errors.New("problems were found")) // they are in the output
	}
	return err
}

// options returns what to observe.
func (d *doctorCommand) options() (observe.Options, error) {
	credentials, err := clientconfig.Load(d.server.configFile)
	if err != nil {
		return observe.Options{}, err
	}
	if !d.addressGiven {
		credentials = nil // they are for the server at --address only
	}
	d.local.Version, d.local.TotalsBy = programVersion(), metricserver.TotalsOff
	o := observe.Options{
		Proc:       doctorProc,
		UsualRoots: slices.Concat(usualRoots, []string{config.DefaultRootDir()}),
		Address:    d.server.address,
		Given:      d.addressGiven,
		Connect: func(address string) *metricclient.MetricClient {
			return metricclient.NewMetricClientWithOptions(address, "", credentials...)
		},
		Server: d.local,
	}
	if d.rootGiven {
		o.Roots = d.roots
	} else {
		o.UsualRoots = append(o.UsualRoots, d.roots...)
	}
	return o, nil
}
