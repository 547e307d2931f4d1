package main

import (
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/metricclient"
)

func newHealthCommand(std cli.Stdio) *cobra.Command {
	server, root := "", config.DefaultRootDir()
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Check that a server serves a runtime root",
		Long: "Check that the server at an address is a metric server, serves the runtime root, and is not shutting down. Ends with 0 if\n" +
			"so, else with 1 and the reason: nobody listens, someone else listens, it serves another root, or it is shutting down.",
		Example: "  sandmeter health --root /run/containerd/runsc/k8s.io\n" +
			"  sandmeter health --address /run/sandmeter.sock --root /var/run/runsc",
		Args:    cobra.NoArgs,
		PreRunE: func(cmd *cobra.Command, _ []string) error { return cli.FromEnv(cmd.Flags()) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkAddress("--address", server); err != nil {
				return err
			}
			client := metricclient.NewMetricClient(server, root)
			defer client.Close()
			if err := client.HealthCheck(cmd.Context()); err != nil {
				return advised(err)
			}
			return std.Printf("The server at %s serves %s.\n", server, root)
		},
	}
	registerServer(cmd.Flags(), &server)
	cli.RegisterRoot(cmd, &root, "the runtime root, `directory` that the server should serve")
	return cmd
}

// advised adds to why a server could not be talked to what to do about it.
func advised(err error) error {
	if what := advice(err); what != "" {
		return fmt.Errorf("%w; %s", err, what)
	}
	return err
}

// advice is what to do about an error of a client, "" where that is not known.
func advice(err error) string {
	switch {
	case errors.Is(err, metricclient.ErrNotListening):
		return "start one with sandmeter serve, or name its address with --address"
	case errors.Is(err, metricclient.ErrNotMetricServer):
		return "name the address of the metric server with --address"
	case errors.As(err, new(*metricclient.WrongRootError)):
		return "name its root with --root"
	case errors.Is(err, metricclient.ErrShuttingDown):
		return "try again"
	case errors.Is(err, fs.ErrPermission):
		return "a server's Unix socket has mode 0660: run this as root, or give sandmeter serve a --web.socket-group that you are in"
	}
	return ""
}
