package config

import (
	"errors"
	"flag"
	"fmt"
	"strings"
)

// flags returns a flag set with the settings of c. The usage text of a flag is the text to show
// after its equals sign.
func (c *Config) flags() *flag.FlagSet {
	fs := flag.NewFlagSet("runsc", flag.ContinueOnError)
	fs.StringVar(&c.RootDir, "root", c.RootDir, "DIRECTORY")
	fs.StringVar(&c.MetricServer, "metric-server", c.MetricServer, "ADDRESS")
	fs.BoolVar(&c.Debug, "debug", c.Debug, "true|false")
	fs.StringVar(&c.DebugLog, "debug-log", c.DebugLog, "FILE_OR_DIRECTORY/")
	fs.StringVar(&c.LogFilename, "log", c.LogFilename, "FILE")
	fs.Var((*logFormat)(&c.LogFormat), "log-format", "text|json|json-k8s")
	return fs
}

// logFormat is the flag.Value of --log-format.
type logFormat string

func (f *logFormat) String() string { return string(*f) }

func (f *logFormat) Set(s string) error {
	switch s {
	case "", "text", "json", "json-k8s":
		*f = logFormat(s)
		return nil
	}
	return errors.New("unknown log format")
}

// ToFlags returns c as runsc flags, each as one word (--name=value), sorted by name. It omits
// fields with zero values and ServerPath. [FromFlags] parses them.
func (c *Config) ToFlags() []string {
	settings := *c // the flags point into settings
	zero := new(Config).flags()
	var words []string
	settings.flags().VisitAll(func(f *flag.Flag) {
		if value := f.Value.String(); value != zero.Lookup(f.Name).DefValue {
			words = append(words, "--"+f.Name+"="+value)
		}
	})
	return words
}

// FromFlags parses the flags of a runsc command line (without the program name) up to the
// subcommand, and returns the settings. rest is the subcommand and all words after it.
//
// The syntax is that of package flag. FromFlags skips runsc flags that are not settings of
// [Config]. If such a flag has no equals sign, the next word is its value, unless that word starts
// with a dash or is [MetricServerCommand].
//
// It is an error if a setting has no value or an invalid one, or if a word is malformed, such as
// -=x. Parsing continues after an error, and rest is returned too, so that a caller can tell
// from the subcommand whether the command line is meant for FromFlags.
func FromFlags(args []string) (conf *Config, rest []string, err error) {
	conf = new(Config)
	flags := conf.flags()
	for len(args) > 0 && isFlag(args[0]) {
		word := args[0]
		args = args[1:]
		if word == "--" {
			break
		}
		var flagErr error
		args, flagErr = readFlag(flags, word, args)
		if err == nil {
			err = flagErr
		}
	}
	if err != nil {
		return nil, args, fmt.Errorf("runsc flags: %w", err)
	}
	return conf, args, nil
}

// isFlag reports whether a word is a flag. A lone dash is not.
func isFlag(word string) bool { return len(word) > 1 && word[0] == '-' }

// readFlag sets the flag in word and returns the remaining words of next.
func readFlag(flags *flag.FlagSet, word string, next []string) ([]string, error) {
	name, value, inline := strings.Cut(strings.TrimPrefix(word[1:], "-"), "=")
	if name == "" || name[0] == '-' {
		return next, fmt.Errorf("%q is no flag: write --name=value", word)
	}
	f := flags.Lookup(name)
	switch {
	case f == nil:
		if !inline && len(next) > 0 && !strings.HasPrefix(next[0], "-") && next[0] != MetricServerCommand {
			next = next[1:]
		}
		return next, nil
	case inline:
	case name == "debug": // the only boolean, which never takes the next word
		value = "true"
	case len(next) == 0:
		return next, fmt.Errorf("--%s has no value: write --%s=%s", name, name, f.Usage)
	default:
		value, next = next[0], next[1:]
	}
	if flags.Set(name, value) != nil {
		return next, fmt.Errorf("--%s does not take %q: write --%s=%s", name, value, name, f.Usage)
	}
	return next, nil
}
