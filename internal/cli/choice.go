package cli

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// choiceFlag is a flag with a fixed list of values.
type choiceFlag struct {
	value   *string
	choices []string
}

// Choice adds a flag whose value is one of the choices. Its default is the current value. The usage
// ends with a colon, and the choices follow it.
func Choice(flags *pflag.FlagSet, value *string, name, usage string, choices ...string) {
	flags.Var(&choiceFlag{value, choices}, name, usage+" "+strings.Join(choices, ", ")+".")
}

// CompleteChoices lets the shell complete the values of all flags of Choice.
func CompleteChoices(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if c, ok := f.Value.(*choiceFlag); ok {
			_ = cmd.RegisterFlagCompletionFunc(f.Name, cobra.FixedCompletions(c.choices, cobra.ShellCompDirectiveNoFileComp))
		}
	})
}

func (c *choiceFlag) String() string { return *c.value }

func (*choiceFlag) Type() string { return "string" }

// Set sets the value.
func (c *choiceFlag) Set(value string) error {
	if !slices.Contains(c.choices, value) {
		last := len(c.choices) - 1
		return errors.New("choose " + strings.Join(c.choices[:last], ", ") + " or " + c.choices[last])
	}
	*c.value = value
	return nil
}
