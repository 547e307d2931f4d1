package main

import (
	"cmp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
)

// failures has descriptions of exit status 1 that say more than that the command failed.
var failures = map[string]string{
	"list":   "The command failed, or a state file could not be read, or the server is unreachable or has no list.",
	"get":    "The command failed, or there is no metric to show.",
	"export": "The command failed, the sandbox has no metrics, or no metric matches **--filter**.",
	"doctor": "There is a problem, or the command failed. Warnings do not count.",
	"health": "The server is unreachable, does not serve the runtime root, or is shutting down.",
}

// rootFiles describes the files of commands that read a runtime root.
const rootFiles = `**/var/run/runsc**
: The default runtime root, if XDG_RUNTIME_DIR is not set.

**/run/containerd/runsc/NAMESPACE**
: Runtime root of a containerd namespace. The namespace of Kubernetes is k8s.io.

**/var/run/docker/runtime-runc/moby**
: Runtime root of Docker.

**ROOT/CONTAINER_sandbox:SANDBOX.state**
: State file of a container.

`

// runscFiles describes the files of commands that look for runsc.
const runscFiles = `**/etc/docker/daemon.json**, **/etc/containerd/config.toml**, **/etc/containerd/runsc.toml**
: Configurations of Docker, containerd and gVisor's shim, which say where runsc is.

`

// addManSections adds sections that cobra does not write to the description of a command and of its
// subcommands.
func addManSections(c *cobra.Command) {
	c.Long = cmp.Or(c.Long, c.Short)
	add := func(title, text string) {
		if text != "" {
			c.Long += "\n\n# " + title + "\n" + text
		}
	}
	if !c.HasParent() {
		add("COMMANDS", manCommands(c))
	}
	add("EXIT STATUS", "**0**\n: Success.\n\n**1**\n: "+cmp.Or(failures[c.Name()], "The command failed.")+"\n\n**2**\n: The command line is wrong.\n\n")
	add("ENVIRONMENT", manEnvironment(c))
	switch {
	case c.Flags().Lookup("runsc") != nil || c.Name() == "doctor":
		add("FILES", rootFiles+runscFiles)
	case !c.HasParent() || readsRoot(c):
		add("FILES", rootFiles)
	}
	for _, sub := range c.Commands() {
		addManSections(sub)
	}
}

func manCommands(root *cobra.Command) string {
	text := ""
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			text += "**" + c.Name() + "**\n: " + c.Short + "\n\n"
		}
	}
	return text
}

// readsRoot reports whether a command reads state files.
func readsRoot(c *cobra.Command) bool {
	return c.Flags().Lookup("root") != nil && c.Name() != "health" || c.Name() == config.MetricServerCommand
}

// readsEnvironment reports whether environment variables can set the flags of a command.
func readsEnvironment(c *cobra.Command) bool {
	return c.PreRunE != nil || c.Name() == config.MetricServerCommand
}

func manEnvironment(c *cobra.Command) string {
	if c.HasParent() && !readsEnvironment(c) {
		return ""
	}
	text := "A variable that is empty counts as unset. Flags take precedence.\n\n"
	if !c.HasParent() {
		text += "**SANDMETER_FLAG**\n: Sets the flag --flag: SANDMETER_WEB_LISTEN_ADDRESS for --web.listen-address. The page of each command lists its variables.\n\n"
	}
	c.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if c.HasParent() && f.Name != "help" {
			text += "**" + cli.EnvName(f.Name) + "**\n: Sets --" + f.Name + ".\n\n"
		}
	})
	if !c.HasParent() || readsRoot(c) || c.Flags().Lookup("root") != nil {
		text += "**XDG_RUNTIME_DIR**\n: The default runtime root is runsc in this directory.\n\n"
	}
	return text
}

// manOrder is the order of the sections of a page.
var manOrder = []string{"NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "FILES", "EXAMPLE", "SEE ALSO"}

// sortManSections moves sections that cobra takes for a part of the description to their usual
// places.
func sortManSections(page string) string {
	head, rest, _ := strings.Cut(page, "\n.SH ")
	sections := strings.Split(strings.TrimRight(rest, "\n"), "\n.SH ")
	place := func(section string) int {
		title, _, _ := strings.Cut(section, "\n")
		return slices.Index(manOrder, title)
	}
	slices.SortStableFunc(sections, func(a, b string) int { return cmp.Compare(place(a), place(b)) })
	for i, s := range sections {
		sections[i] = strings.TrimRight(s, "\n") + "\n"
	}
	return head + "\n.SH " + strings.Join(sections, "\n\n.SH ")
}
