package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/metricclient"
)

// registerServer adds the flag that says which running server a command talks to.
func registerServer(flags *pflag.FlagSet, address *string) {
	flags.StringVar(address, "address", defaultListenAddress, "`address` of the server: host:port, or the absolute path of a Unix socket")
}

func newHealthCommand(std stdio) *cobra.Command {
	var server, root string
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Check that a server serves a runtime root",
		Long: "Check that the server at an address is a metric server, serves the runtime root, and is not shutting down. Ends with 0 if\n" +
			"so, else with 1 and the reason: nobody listens, someone else listens, it serves another root, or it is shutting down.",
		Example: "  sandmeter health --root /run/containerd/runsc/k8s.io\n" +
			"  sandmeter health --address /run/sandmeter.sock --root /var/run/runsc",
		Args:    noArgs,
		PreRunE: func(cmd *cobra.Command, _ []string) error { return fromEnv(cmd.Flags()) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := metricclient.NewMetricClient(server, root)
			defer client.Close()
			if err := client.HealthCheck(cmd.Context()); err != nil {
				return explainHealth(err)
			}
			std.printf("The server at %s serves %s.\n", server, root)
			return nil
		},
	}
	registerServer(cmd.Flags(), &server)
	cmd.Flags().StringVar(&root, "root", config.DefaultRootDir(), "the runtime root, `directory` that the server should serve")
	return cmd
}

// explainHealth adds to the reason what to do about it.
func explainHealth(err error) error {
	advice := ""
	switch wrong := new(metricclient.WrongRootError); {
	case errors.Is(err, metricclient.ErrNotListening):
		advice = "start one with sandmeter serve, or name its address with --address"
	case errors.Is(err, metricclient.ErrNotMetricServer):
		advice = "name the address of the metric server with --address"
	case errors.As(err, &wrong):
		advice = "name its root with --root"
	case errors.Is(err, metricclient.ErrShuttingDown):
		advice = "try again"
	default:
		return err
	}
	return fmt.Errorf("%w; %s", err, advice)
}
