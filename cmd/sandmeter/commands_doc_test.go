package main

import (
	"cmp"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
)

const commandsHead = `# Commands and flags

What ` + "`sandmeter help COMMAND`" + ` prints, for all commands except ` + "`completion`" + `. This page is generated:
` + "`go test ./cmd/sandmeter -update`" + ` writes it.

Each flag of ` + "`serve`, `list`, `get`, `export`, `health`, and `doctor`, and each flag behind the word `metric-server`" + `, can be set
by an environment variable, too: ` + "`SANDMETER_SANDBOX_TIMEOUT` for `--sandbox-timeout`" + `. Commas separate the values of a repeatable flag, except for
regular expressions. An empty variable counts as unset. A server logs a warning for each variable that begins with ` + "`SANDMETER_`" + ` and is unknown,
with what to use instead. The exit status is 0, 1 if the command failed, and 2 if the command line is wrong.
`

// TestCommandsDocument: docs/commands.md is what the commands say of themselves.
func TestCommandsDocument(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "") // it changes a default on the page
	const path = "../../docs/commands.md"
	var page strings.Builder
	page.WriteString(commandsHead)
	for _, c := range newRootCommand(new(config.Config), cli.Stdio{}).Commands() {
		if c.IsAvailableCommand() && c.Name() != "completion" {
			writeCommand(&page, c)
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	written, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(written) != page.String() {
		t.Errorf("%s is not what the commands say of themselves: go test ./cmd/sandmeter -update writes it", path)
	}
}

func writeCommand(page *strings.Builder, c *cobra.Command) {
	page.WriteString("\n## " + c.CommandPath() + "\n\n" + strings.TrimSpace(cmp.Or(c.Long, c.Short)) + "\n")
	writeBlock(page, cmp.Or(c.Annotations[cli.UsageLine], c.UseLine()))
	if c.HasExample() {
		page.WriteString("\nExamples:\n")
		writeBlock(page, c.Example)
	}
	writeBlock(page, strings.TrimSpace(cli.FlagHelp(c, cli.HelpWidth)))
}

// writeBlock writes text as a block of code.
func writeBlock(page *strings.Builder, text string) {
	page.WriteString("\n```\n" + strings.TrimRight(text, "\n") + "\n```\n")
}
