package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestChoice(t *testing.T) {
	check := func(line, want, wantError string) {
		t.Helper()
		cmd := &cobra.Command{Use: "prog"}
		level := "info"
		Choice(cmd.Flags(), &level, "level", "Log `level`:", "debug", "info", "warn")
		LimitToOnce(cmd)
		if usage := cmd.Flags().Lookup("level").Usage; usage != "Log `level`: debug, info, warn." {
			t.Errorf("the usage is %q", usage)
		}
		err := cmd.ParseFlags(strings.Fields(line))
		if level != want || (err == nil) != (wantError == "") || err != nil && !strings.HasSuffix(err.Error(), wantError) {
			t.Errorf("%q: %q, %v, want %q, %s", line, level, err, want, wantError)
		}
	}
	check("", "info", "")
	check("--level debug", "debug", "")
	check("--level Debug", "info", "choose debug, info or warn")
	check("--level=", "info", "choose debug, info or warn")
	check("--level debug --level warn", "debug", "given twice")
}

func TestCompleteChoices(t *testing.T) {
	cmd := &cobra.Command{Use: "prog", Run: func(*cobra.Command, []string) {}}
	value := "on"
	Choice(cmd.Flags(), &value, "timestamps", "", "on", "off")
	CompleteChoices(cmd)
	complete, ok := cmd.GetFlagCompletionFunc("timestamps")
	if !ok {
		t.Fatal("the flag has no completion")
	}
	if got, _ := complete(cmd, nil, ""); strings.Join(got, " ") != "on off" {
		t.Errorf("completions are %q", got)
	}
}
