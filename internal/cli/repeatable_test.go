package cli

import (
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestRepeatable(t *testing.T) {
	check := func(line, variable, want string) {
		t.Helper()
		if variable != "" {
			t.Setenv("SANDMETER_ADDRESS", variable)
		}
		cmd := &cobra.Command{Use: "prog"}
		addresses := []string{"default"}
		Repeatable(cmd.Flags(), &addresses, "address", "")
		LimitToOnce(cmd)
		err := cmd.ParseFlags(strings.Fields(line))
		if err == nil {
			err = FromEnv(cmd.Flags())
		}
		if got := strings.Join(addresses, " "); err != nil || got != want {
			t.Errorf("%s, variable %q: %q, %v, want %q", line, variable, got, err, want)
		}
	}
	check("", "", "default")
	check("--address a", "", "a")
	check("--address a --address=b,c", "", "a b,c")
	check("", "a,b", "a b")
	check("--address x", "a,b", "x")
}
