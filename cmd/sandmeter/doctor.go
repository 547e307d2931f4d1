package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/clientconfig"
	"github.com/sandmeter/sandmeter/internal/doctor"
	"github.com/sandmeter/sandmeter/internal/doctor/observe"
	"github.com/sandmeter/sandmeter/metricclient"
	"github.com/sandmeter/sandmeter/metricserver"
)

// doctorHost is the root directory of the host that doctor examines, and doctorAddress where it
// looks for a server whose process it does not see. Tests replace both.
var (
	doctorHost    = "/"
	doctorAddress = defaultListenAddress
)

// doctorCommand finds out which sandboxes are served, and why others are not.
type doctorCommand struct {
	server serverFlags
	roots  []string
	json   bool

	rootGiven, addressGiven bool
}

func newDoctorCommand(std cli.Stdio) *cobra.Command {
	var d doctorCommand
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Find out which sandboxes are served, and why others are not",
		Long: "Find the runtime roots of this node, query each sandbox once as a server does, and compare the result with what running\n" +
			"servers serve. For each sandbox that is not served, the output says why, and what to change. It also checks permissions,\n" +
			"the PID namespace, limits on file descriptors and inotify, cgroups, registrations, final metrics logs, kubelet, the clock,\n" +
			"and the age of runsc. docs/doctor.md describes each check and each cause.\n\n" +
			"Run it as root, in the host's PID namespace. Without --root, it examines the usual runtime roots, those in SANDMETER_ROOT,\n" +
			"and those of running servers and sandboxes. It finds the servers of root and of this user by their processes, and at the\n" +
			"usual address; with --address, it looks at that server only. It takes the settings of a server from its command line and\n" +
			"environment. It changes nothing, and takes some seconds, at most a minute.\n\n" +
			"The exit status is 0 if there is no problem, although there may be warnings, 1 if there is a problem, and 2 if the command\n" +
			"line is wrong. With --json, the output also has what was observed; it has no passwords, but names of pods.",
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
	d.server.register(cmd, doctorAddress)
	cli.RegisterRoots(cmd, &d.roots, "Examine only this runtime root: a `directory`, or a glob. Repeatable. (default: all that are found)")
	cmd.Flags().BoolVar(&d.json, "json", false, "Write JSON instead of text.")
	return cmd
}

func (d *doctorCommand) run(ctx context.Context, std cli.Stdio) error {
	o, err := d.options(std)
	if err != nil {
		return err
	}
	observed := observe.Node(ctx, o)
	o.Progress("")
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	report := doctor.Examine(observed)
	if d.json {
		err = writeJSON(std.Out, documentOf(observed, &report))
	} else {
		err = newDoctorText(std.Out).write(observed, &report)
	}
	if err == nil && report.Level == doctor.Problem {
		err = cli.Logged(errors.New("problems were found")) // they are in the output
	}
	return err
}

// options returns what to observe.
func (d *doctorCommand) options(std cli.Stdio) (observe.Options, error) {
	if err := checkAddress("--address", d.server.address); err != nil {
		return observe.Options{}, err
	}
	credentials, err := clientconfig.Load(d.server.configFile)
	if err != nil {
		return observe.Options{}, err
	}
	o := observe.Options{
		HostRoot:   doctorHost,
		UsualRoots: slices.Concat(usualRoots, []string{config.DefaultRootDir()}),
		Address:    d.server.address,
		Given:      d.addressGiven,
		Connect: func(address string) (*metricclient.MetricClient, error) {
			if address == d.server.address {
				return metricclient.NewMetricClientWithOptions(address, "", credentials...), nil
			}
			return metricclient.NewMetricClient(address, ""), nil // passwords are for one server only
		},
		ParseServer:  parseServer,
		CheckService: checkService,
		Progress:     progressOf(std.Err),
	}
	if d.rootGiven {
		o.Roots = d.roots
	} else {
		o.UsualRoots = append(o.UsualRoots, d.roots...)
	}
	o.Settings, err = parseServe(nil, os.Getenv)
	return o, err
}

// progressOf returns a function that shows what is under way, if out is a terminal. An empty text
// removes it.
func progressOf(out io.Writer) func(what string) {
	if !cli.IsTerminal(out) {
		return func(string) {}
	}
	return func(what string) {
		if what != "" {
			what += " …"
		}
		fmt.Fprint(out, "\r\x1b[K"+what)
	}
}

// parseServer returns the settings of a process if its command line is that of a server.
func parseServer(args []string, getenv func(name string) string) (s doctor.Settings, isServer bool, err error) {
	name := filepath.Base(args[0])
	switch {
	case !strings.HasPrefix(name, programName) && !strings.HasPrefix(name, "runsc"):
		return doctor.Settings{}, false, nil
	case len(args) > 1 && args[1] == "serve":
		s, err = parseServe(args[2:], getenv)
		return s, true, err
	case slices.Contains(args, config.MetricServerCommand):
		return parseMetricServer(args[1:], getenv)
	}
	return doctor.Settings{}, false, nil
}

// parseServe returns the settings of serve with the flags.
func parseServe(args []string, getenv func(name string) string) (doctor.Settings, error) {
	cmd, s := newServe(cli.Stdio{})
	err := cmd.ParseFlags(args)
	if err == nil {
		err = cli.FromEnvOf(cmd.Flags(), getenv)
	}
	settings := settingsOf(&s.settings, cmd.Name())
	settings.OnlyInstrumented = s.OnlyInstrumented
	return settings, err
}

// checkService returns the settings of serve without flags in an environment, and why it would not
// start with them.
func checkService(getenv func(name string) string) (doctor.Settings, error) {
	cmd, s := newServe(cli.Stdio{})
	if err := cli.FromEnvOf(cmd.Flags(), getenv); err != nil {
		return doctor.Settings{}, err
	}
	o, err := s.check()
	if err == nil {
		_, err = metricserver.New(o)
	}
	return settingsOf(&s.settings, cmd.Name()), err
}

// parseMetricServer returns the settings of metric-server, which is also gVisor's own.
func parseMetricServer(args []string, getenv func(name string) string) (set doctor.Settings, isServer bool, err error) {
	conf, rest, err := config.FromFlags(args)
	if err != nil || len(rest) == 0 || rest[0] != config.MetricServerCommand {
		return doctor.Settings{}, false, nil
	}
	s := dropIn()
	s.Roots, s.Addresses, s.MatchAddress = []string{conf.RootDir}, []string{conf.MetricServer}, conf.MetricServer
	if conf.RootDir == "" {
		s.Roots = []string{config.DefaultRootDir()}
	}
	flags := s.goFlags()
	if err = flags.Parse(rest[1:]); err == nil {
		err = cli.GoFlagsFromEnvOf(flags, getenv)
	}
	return settingsOf(s, config.MetricServerCommand), true, err
}

func settingsOf(s *settings, command string) doctor.Settings {
	set := doctor.Settings{
		Command:          command,
		Roots:            s.Roots,
		Addresses:        s.Addresses,
		MatchAddress:     s.MatchAddress,
		Usage:            string(s.Usage),
		FinalMetricsLog:  s.FinalMetricsLog,
		Runsc:            s.Runsc,
		RegistrationFile: s.RegistrationFile,
	}
	if s.systemdSocket {
		set.Addresses = nil
	}
	return set
}
