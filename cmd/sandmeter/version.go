package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/internal/cli"
)

// version is set by the linker: the tag of a release, else the commit.
var version = ""

func newVersionCommand(std cli.Stdio) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Say which version this is",
		Example: "  sandmeter version",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return std.Printf("sandmeter version %s\n", versionText()) },
	}
}

// versionText is the version, and what built it for what.
func versionText() string {
	return fmt.Sprintf("%s (%s, %s/%s)", programVersion(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

// programVersion is what the linker has set, else the version of the module, as the build has it.
func programVersion() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(unknown)"
}
