package cli

import (
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// rootFlag is the value of --root. It makes the path absolute and clean, so that server and clients
// use the same path for a directory.
type rootFlag string

// RegisterRoot adds the flag --root. Its default is the current value of path.
func RegisterRoot(cmd *cobra.Command, path *string, usage string) {
	cmd.Flags().Var((*rootFlag)(path), "root", usage)
	_ = cmd.MarkFlagDirname("root") // fails only for unknown flags
}

func (r *rootFlag) String() string { return string(*r) }

func (*rootFlag) Type() string { return "string" }

func (r *rootFlag) Set(path string) error {
	if path == "" {
		return errors.New("name a directory")
	}
	path, err := filepath.Abs(path)
	*r = rootFlag(path)
	return err
}

// rootsFlag is the value of a --root that may be repeated. The first one given replaces the
// default.
type rootsFlag struct {
	roots *[]string
	given bool
}

// RegisterRoots adds a flag --root that may be repeated. Its default is the current value of roots.
func RegisterRoots(cmd *cobra.Command, roots *[]string, usage string) {
	cmd.Flags().Var(&rootsFlag{roots: roots}, "root", usage)
	_ = cmd.MarkFlagDirname("root") // fails only for unknown flags
}

func (r *rootsFlag) String() string { return strings.Join(*r.roots, ",") }

func (*rootsFlag) Type() string { return "string" }

// Set adds a root.
func (r *rootsFlag) Set(path string) error {
	var root rootFlag
	if err := root.Set(path); err != nil {
		return err
	}
	if !r.given {
		*r.roots = nil
	}
	r.given = true
	*r.roots = append(*r.roots, string(root))
	return nil
}

func (*rootsFlag) isList() {}

// namesFlag is a list of names, separated by commas.
type namesFlag struct{ names *[]string }

// Names adds a flag for names that are separated by commas. It may be repeated to add more names.
func Names(flags *pflag.FlagSet, names *[]string, name, usage string) {
	flags.Var(namesFlag{names}, name, usage)
}

func (n namesFlag) String() string {
	if n.names == nil { // package flag calls it on a zero value
		return ""
	}
	return strings.Join(*n.names, ",")
}

func (namesFlag) Type() string { return "strings" }

// Set adds names.
func (n namesFlag) Set(value string) error {
	*n.names = append(*n.names, strings.Split(value, ",")...)
	return nil
}

func (namesFlag) isList() {}

// A listFlag may be given more than once; in the environment its values are separated by commas,
// except for patterns.
type listFlag interface{ isList() }

// onceFlag is a flag that may be given once. Otherwise one of two values would be ignored silently.
type onceFlag struct {
	pflag.Value
	given bool
}

func (f *onceFlag) Set(value string) error {
	if f.given {
		return errors.New("given twice")
	}
	f.given = true
	return f.Value.Set(value)
}

// valueForms describe the values of each flag type. The errors of the parsers are not meant for
// users.
var valueForms = map[string]string{
	"bool":     "true or false",
	"duration": "a number with a unit, such as 2s or 500ms",
	"int":      "a whole number",
}

// plainFlag is a flag whose errors describe the valid values.
type plainFlag struct{ pflag.Value }

// Set sets the value.
func (f plainFlag) Set(value string) error {
	err := f.Value.Set(value)
	if form, known := valueForms[f.Type()]; err != nil && known {
		return errors.New("give " + form)
	}
	return err
}

// String returns the value. Package flag also calls it on a zero plainFlag.
func (f plainFlag) String() string {
	if f.Value == nil {
		return ""
	}
	return f.Value.String()
}

// IsBoolFlag tells package flag whether the value is optional.
func (f plainFlag) IsBoolFlag() bool { return f.Type() == "bool" }

// GoFlags returns the flags as a FlagSet of package flag, with its syntax.
func GoFlags(name string, flags *pflag.FlagSet) *flag.FlagSet {
	g := flag.NewFlagSet(name, flag.ContinueOnError)
	g.SetOutput(io.Discard)
	flags.VisitAll(func(f *pflag.Flag) { g.Var(plainFlag{f.Value}, f.Name, f.Usage) })
	return g
}

// LimitToOnce makes it an error to give a flag twice unless it is a list, for a command and its
// subcommands. It also makes the errors of flags describe the valid values.
func LimitToOnce(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if _, isList := f.Value.(listFlag); !isList {
			f.Value = &onceFlag{Value: plainFlag{f.Value}}
		}
	})
	for _, c := range cmd.Commands() {
		LimitToOnce(c)
	}
}

// EnvPrefix begins the names of the environment variables of flags.
const EnvPrefix = "SANDMETER_"

// EnvName returns the environment variable of a flag: SANDMETER_WEB_LISTEN_ADDRESS for
// --web.listen-address.
func EnvName(flag string) string {
	return EnvPrefix + strings.ToUpper(strings.NewReplacer("-", "_", ".", "_").Replace(flag))
}

// FromEnv sets flags that are not on the command line from their environment variables.
func FromEnv(flags *pflag.FlagSet) (err error) {
	flags.VisitAll(func(f *pflag.Flag) {
		_, isList := f.Value.(listFlag)
		_, isPattern := f.Value.(patternsFlag)
		if err == nil && !f.Changed {
			err = setFromEnv(f.Name, isList && !isPattern, flags.Set)
		}
	})
	return err
}

// GoFlagsFromEnv is FromEnv for a FlagSet of package flag.
func GoFlagsFromEnv(flags *flag.FlagSet) (err error) {
	given := make(map[string]bool)
	flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
	flags.VisitAll(func(f *flag.Flag) {
		if err == nil && !given[f.Name] {
			err = setFromEnv(f.Name, false, flags.Set)
		}
	})
	return err
}

// Given returns the flags that are set on the command line or in the environment.
func Given(flags *pflag.FlagSet) map[string]string {
	given := make(map[string]string)
	flags.Visit(func(f *pflag.Flag) { given[f.Name] = f.Value.String() })
	return given
}

// setFromEnv sets a flag if its variable is set. An empty variable counts as unset.
func setFromEnv(flag string, isList bool, set func(name, value string) error) error {
	value := os.Getenv(EnvName(flag))
	values := []string{value}
	if isList {
		values = strings.Split(value, ",")
	}
	for _, v := range values {
		if value == "" {
			break
		}
		if err := set(flag, v); err != nil {
			return Usagef("environment variable %s: %w", EnvName(flag), err)
		}
	}
	return nil
}
