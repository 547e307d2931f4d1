package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/metricclient"
)

func newHealthCommand(std cli.Stdio) *cobra.Command {
	server := serverFlags{address: defaultListenAddress}
	root := config.DefaultRootDir()
	var live bool
	cmd := &cobra.Command{
		Use:   "health",
		Short: "Check that a server serves a runtime root",
		Long: "Check that the server at an address is a metric server, serves the runtime root, is not shutting down, and is ready. The\n" +
			"exit status is 0 if so. Otherwise it is 1, and the error has the reason: nothing listens at the address, the server is not a\n" +
			"metric server, it serves another root, it is shutting down, TLS failed, it does not accept the credentials, or it is not\n" +
			"ready: the runtime roots have not been read yet, none of them answers, or a collection does not end.",
		Example: "  sandmeter health --root /run/containerd/runsc/k8s.io\n" +
			"  sandmeter health --address /run/sandmeter.sock --root /var/run/runsc\n" +
			"  sandmeter health --live --root /var/run/runsc\n" +
			"  sandmeter health --root /var/run/runsc --web.client-config.file /etc/sandmeter/client.yml",
		Args:    cobra.NoArgs,
		PreRunE: fromEnv,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := server.client(root)
			if err != nil {
				return err
			}
			defer client.Close()
			err = client.HealthCheck(cmd.Context())
			if err == nil && !live {
				err = awaitReady(cmd.Context(), client)
			}
			if err != nil {
				return advised(err)
			}
			return std.Printf("The server at %s serves %s.\n", server.address, root)
		},
	}
	cli.Register(cmd, append(server.settings(), cli.Root(&root, "Runtime root: the directory that the server should serve."),
		config.Setting{Name: "live", Value: &live, Help: "Do not check that the server is ready: a restart would not help."})...)
	return cmd
}

// readyWait is how long a server may take to become ready: one that has just started reads its runtime
// roots first.
const readyWait = 2 * time.Second

// awaitReady waits until the server is ready. The error says why it is not.
func awaitReady(ctx context.Context, client *metricclient.MetricClient) error {
	for until := time.Now().Add(readyWait); ; {
		err := client.Ready(ctx)
		if !errors.Is(err, metricclient.ErrNotReady) || time.Now().After(until) {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
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
