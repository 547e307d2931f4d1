package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sandmeter/sandmeter/config"
)

// settingFlag is the flag of a setting.
type settingFlag struct {
	config.Setting
	given []string
	once  bool // given twice is an error unless the setting is a list
}

// Type returns the placeholder for help.
func (f *settingFlag) Type() string {
	if f.Placeholder == "" {
		return "bool"
	}
	return "<" + f.Placeholder + ">"
}

func (f *settingFlag) String() string { return strings.Join(f.Texts(), ",") }

// Set adds a value to a list, of which the first replaces the default, or sets any other setting.
func (f *settingFlag) Set(text string) error {
	s := f.Setting
	s.Name = "--" + s.Name
	switch {
	case s.IsList():
		f.given = append(f.given, text)
	case f.once && f.given != nil: // one of the values would be ignored silently
		return fmt.Errorf("%s %q: given twice", s.Name, text)
	default:
		f.given = []string{text}
	}
	return s.Set(f.given...)
}

// extensions of configuration files (true), and of other files.
var extensions = map[bool][]string{true: {"yml", "yaml"}}

// Register adds a flag for each setting to a command. Their current values are the defaults. The flags of a
// heading are together in help.
func Register(cmd *cobra.Command, settings ...config.Setting) {
	cmd.InitDefaultHelpFlag() // it comes first
	cmd.Flags().SortFlags = false
	place := make(map[string]int)
	for _, s := range settings {
		if _, known := place[s.Heading]; !known {
			place[s.Heading] = len(place)
		}
	}
	slices.SortStableFunc(settings, func(a, b config.Setting) int { return place[a.Heading] - place[b.Heading] })
	for _, s := range settings {
		f := cmd.Flags().VarPF(&settingFlag{Setting: s}, s.Name, "", s.Help)
		if s.Placeholder == "" {
			f.NoOptDefVal = "true"
		}
		if s.Heading != "" {
			f.Annotations = map[string][]string{heading: {s.Heading}}
		}
		switch { // these calls fail only for unknown flags
		case s.Placeholder == "file":
			_ = cmd.MarkFlagFilename(s.Name, extensions[strings.HasSuffix(s.Name, "config.file")]...)
		case s.Placeholder == "directory":
			_ = cmd.MarkFlagDirname(s.Name)
		case len(s.Choices) > 0:
			_ = cmd.RegisterFlagCompletionFunc(s.Name, cobra.FixedCompletions(s.Choices, cobra.ShellCompDirectiveNoFileComp))
		}
	}
}

// Root returns the setting of the runtime root of a command.
func Root(path *string, help string) config.Setting {
	return config.Setting{Name: "root", Placeholder: "directory", Value: path, Path: true, Help: help}
}

// Once makes it an error to give a flag twice unless it is a list, for a command and its subcommands.
func Once(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if s, ours := f.Value.(*settingFlag); ours {
			s.once = true
		}
	})
	for _, c := range cmd.Commands() {
		Once(c)
	}
}

// EnvPrefix begins the names of the environment variables of flags.
const EnvPrefix = "SANDMETER_"

// EnvName returns the environment variable of a flag: SANDMETER_WEB_LISTEN_ADDRESS for
// --web.listen-address.
func EnvName(flag string) string {
	return EnvPrefix + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(flag))
}

// FromEnv sets flags that are not on the command line from their environment variables. An empty
// variable counts as unset.
func FromEnv(flags *pflag.FlagSet) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		value, ours := f.Value.(*settingFlag)
		text := os.Getenv(EnvName(f.Name))
		if err != nil || !ours || f.Changed || text == "" {
			return
		}
		s := value.Setting
		s.Name, f.Changed = EnvName(f.Name), true
		if wrong := s.Set(text); wrong != nil {
			err = Usage(wrong)
		}
	})
	return err
}

// Given returns the flags that are set on the command line or in the environment.
func Given(flags *pflag.FlagSet) map[string]string {
	given := make(map[string]string)
	flags.VisitAll(func(f *pflag.Flag) {
		if f.Changed {
			given[f.Name] = f.Value.String()
		}
	})
	return given
}
