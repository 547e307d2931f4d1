package cli

import "github.com/spf13/cobra"

// DescribeFlags gives the flags that cobra adds to a command, and to all commands below it, descriptions
// in the style of all others.
func DescribeFlags(cmd *cobra.Command) {
	cmd.InitDefaultHelpFlag()
	for name, usage := range map[string]string{
		"help": "Show help.", "version": "Show the version.", "no-descriptions": "Disable completion descriptions.",
	} {
		if f := cmd.Flags().Lookup(name); f != nil {
			f.Usage = usage
		}
	}
	for _, c := range cmd.Commands() {
		DescribeFlags(c)
	}
}
