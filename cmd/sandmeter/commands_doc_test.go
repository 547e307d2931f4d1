package main

import (
	"cmp"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/internal/cli"
)

const commandsHead = `# Commands and flags

What ` + "`sandmeter help COMMAND`" + ` prints, for all commands except ` + "`completion`" + `. This page is generated:
` + "`go test ./cmd/sandmeter -update`" + ` writes it.

Each flag of ` + "`serve`, `list`, `get`, `export`, `health`, and `doctor`, and each flag behind the word `metric-server`" + `, can be set
by an environment variable, too: ` + "`SANDMETER_SANDBOX_TIMEOUT` for `--sandbox-timeout`. In `SANDMETER_ROOT`" + `, commas separate several roots. An
empty variable counts as unset. The exit status is 0, 1 if the command failed, and 2 if the command line is wrong.
`

// TestCommandsDocument: docs/commands.md is what the commands say of themselves.
func TestCommandsDocument(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "") // it changes a default on the page
	const path = "../../docs/commands.md"
	var page strings.Builder
	page.WriteString(commandsHead)
	for _, c := range newRootCommand(cli.Stdio{}).Commands() {
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
	writeBlock(page, synopsis.Replace(c.UseLine()))
	if c.HasExample() {
		page.WriteString("\nExamples:\n")
		writeBlock(page, c.Example)
	}
	if c.HasAvailableLocalFlags() {
		page.WriteString("\nFlags:\n")
		writeBlock(page, c.LocalFlags().FlagUsagesWrapped(120))
	}
}

// writeBlock writes text as a block of code.
func writeBlock(page *strings.Builder, text string) {
	page.WriteString("\n```\n" + strings.TrimRight(text, "\n") + "\n```\n")
}
