package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestPatterns(t *testing.T) {
	check := func(line, variable string, want ...string) {
		t.Helper()
		if variable != "" {
			t.Setenv("SANDMETER_ALLOW", variable)
		}
		cmd := &cobra.Command{Use: "prog"}
		var patterns []string
		Patterns(cmd.Flags(), &patterns, "allow", "")
		LimitToOnce(cmd)
		err := cmd.ParseFlags(strings.Fields(line))
		if err == nil {
			err = FromEnv(cmd.Flags())
		}
		if err != nil || !slices.Equal(patterns, want) {
			t.Errorf("%s, variable %q: %q, %v, want %q", line, variable, patterns, err, want)
		}
	}
	check("", "")
	check("--allow a{1,2} --allow=b", "", "a{1,2}", "b")
	check("", "a{1,2}|b", "a{1,2}|b") // commas do not separate patterns
	check("--allow x", "a", "x")
}
