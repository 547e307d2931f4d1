package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/internal/cli"
)

// version is set by the linker to the tag of a release or, without one, the commit.
var version = ""

func newVersionCommand(std cli.Stdio) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version",
		Example: "  sandmeter version",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return std.Printf("sandmeter version %s\n", versionText()) },
	}
}

// versionText returns the version, the Go version, and the platform.
func versionText() string {
	return fmt.Sprintf("%s (%s, %s/%s)", programVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// programVersion returns the version that the linker set, else the version of the module.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
