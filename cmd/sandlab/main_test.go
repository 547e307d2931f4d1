package main

import (
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/cli"
)

// TestHelpHasExamples: the help of each command has examples, and the program accepts all of them. None
// names the command that runs in sandboxes.
func TestHelpHasExamples(t *testing.T) {
	w := newWorld(t)
	for _, line := range []string{"", "--help", "demo --help", "node --help", "simulate --help", "help simulate"} {
		code, out, errs := w.command(line)
		_, examples, found := strings.Cut(out, "\nExamples:\n")
		examples, _, _ = strings.Cut(examples, "\n\n")
		if code != cli.ExitOK || errs != "" || !found || strings.Contains(out, "workload") {
			t.Errorf("%s: exits with %d, says %q, and shows\n%s", line, code, errs, out)
		}
		for example := range strings.Lines(examples) {
			words := strings.Fields(example)
			root := newRootCommand(cli.Stdio{})
			cmd, flags, err := root.Find(words[1:])
			if err != nil || words[0] != "sandlab" || cmd == root {
				t.Errorf("%s: the example %q is of command %q: %v", line, example, cmd.Name(), err)
			} else if err := cmd.ParseFlags(flags); err != nil {
				t.Errorf("%s: the example %q: %v", line, example, err)
			}
		}
	}
}
