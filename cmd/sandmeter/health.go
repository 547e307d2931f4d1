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
	var server serverFlags
	root := config.DefaultRootDir()
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Check that a server serves a runtime root",
		Long: "Check that the server at an address is a metric server, serves the runtime root, and is not shutting down. The exit status\n" +
			"is 0 if so. Otherwise it is 1, and the error has the reason: nothing listens at the address, the server is not a metric\n" +
			"server, it serves another root, it is shutting down, TLS failed, or it does not accept the credentials.",
		Example: "  sandmeter health --root /run/containerd/runsc/k8s.io\n" +
			"  sandmeter health --address /run/sandmeter.sock --root /var/run/runsc\n" +
			"  sandmeter health --root /var/run/runsc --web.client-config.file /etc/sandmeter/client.yml",
		Args:    cobra.NoArgs,
		PreRunE: func(cmd *cobra.Command, _ []string) error { return cli.FromEnv(cmd.Flags()) },
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := server.client(root)
			if err != nil {
				return err
			}
			defer client.Close()
			if err := client.HealthCheck(cmd.Context()); err != nil {
				return advised(err)
			}
			return std.Printf("The server at %s serves %s.\n", server.address, root)
		},
	}
	server.register(cmd, defaultListenAddress)
	cli.RegisterRoot(cmd, &root, "Runtime root: the `directory` that the server should serve.")
	return cmd
}

// advised adds advice to an error of a client.
func advised(err error) error {
	if what := advice(err); what != "" {
		return fmt.Errorf("%w; %s", err, what)
	}
	return err
}

// advice returns what to do about an error of a client, "" if that is unknown.
func advice(err error) string {
	switch {
	case errors.Is(err, metricclient.ErrNotListening):
		return "start one with sandmeter serve, or give its address with --address"
	case errors.Is(err, metricclient.ErrNotMetricServer):
		return "give the address of the metric server with --address"
	case errors.As(err, new(*metricclient.WrongRootError)):
		return "give its root with --root"
	case errors.Is(err, metricclient.ErrShuttingDown):
		return "try again"
	case errors.Is(err, metricclient.ErrUnauthorized):
		return "give the user name and password with basic_auth in --web.client-config.file"
	case errors.Is(err, metricclient.ErrTLS):
		return "check tls_config in --web.client-config.file: the section has to be there if the server has TLS, and only then"
	case errors.Is(err, fs.ErrPermission):
		return "the Unix socket of a server has mode 0660: run this as root, or start the server with a --web.socket-group that you belong to"
	}
	return ""
}
