package main

import (
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/metricserver"
)

const registrationLong = "Replies are verified with the sandbox's registration, the list of its metrics. A sandbox that was created without runsc's flag\n" +
	"--metric-server has none in its state file. It gets that of another sandbox of the same build of runsc, or what the command\n" +
	"`runsc metric-metadata` prints: of the runsc that started it, which is looked for in the configurations of Docker and\n" +
	"containerd and in PATH. A program that others than root and the user of the server may write is not run.\n\n"

// registerRegistrations adds the flags that tell where registrations come from.
func registerRegistrations(cmd *cobra.Command, o *metricserver.Options) {
	const file = "registration"
	cli.Repeatable(cmd.Flags(), &o.Runsc, "runsc",
		"`Path` of a runsc program to take registrations from, instead of those of Docker, containerd and PATH. Repeatable.")
	_ = cmd.MarkFlagFilename("runsc") // only fails for unknown flags
	cmd.Flags().StringVar(&o.RegistrationFile, file, "",
		"`File` with the output of runsc metric-metadata, for sandboxes whose registration is not found otherwise.")
	_ = cmd.MarkFlagFilename(file)
}

// absolute makes paths absolute.
func absolute(paths []string) error {
	for i, path := range paths {
		if path == "" {
			return cli.Usagef("--runsc is empty: give the path of a runsc program")
		}
		full, err := filepath.Abs(path)
		if err != nil {
			return err
		}
		paths[i] = full
	}
	return nil
}
