package main

import (
	"errors"
	"net"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/sandmeter/sandmeter/config"
)

// rootFlag is the --root of a command for people: however they write a directory, its path is absolute and clean, so that a server and
// those who ask it name the same one.
type rootFlag string

// registerRoot adds the flag, with what path has as its default.
func registerRoot(cmd *cobra.Command, path *string, usage string) {
	cmd.Flags().Var((*rootFlag)(path), "root", usage)
	_ = cmd.MarkFlagDirname("root") // fails for flags that are not there
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

// rootsFlag is the --root of a command that takes several. The first one given replaces the default.
type rootsFlag struct {
	roots *[]string
	given bool
}

// registerRoots adds the flag, with what roots has as its default.
func registerRoots(cmd *cobra.Command, roots *[]string, usage string) {
	cmd.Flags().Var(&rootsFlag{roots: roots}, "root", usage)
	_ = cmd.MarkFlagDirname("root") // fails for flags that are not there
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

// A listFlag may be given more than once; in the environment its values are separated by commas.
type listFlag interface{ isList() }

func (*rootsFlag) isList() {}

// onceFlag is a flag that may be given once: of two values one would be ignored without a word.
type onceFlag struct {
	pflag.Value
	given bool
}

func (f *onceFlag) Set(value string) error {
	if f.given {
		return errors.New("it is given twice")
	}
	f.given = true
	return f.Value.Set(value)
}

// limitToOnce makes it an error to give a flag twice that is not a list, for a command and all below it.
func limitToOnce(cmd *cobra.Command) {
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if _, isList := f.Value.(listFlag); !isList {
			f.Value = &onceFlag{Value: f.Value}
		}
	})
	for _, c := range cmd.Commands() {
		limitToOnce(c)
	}
}

// registerServer adds the flag that says which running server a command talks to.
func registerServer(flags *pflag.FlagSet, address *string) {
	flags.StringVar(address, "address", defaultListenAddress, "`address` of the server: host:port, or the absolute path of a Unix socket")
}

// isSocket reports whether an address is that of a Unix socket.
func isSocket(address string) bool { return filepath.IsAbs(config.ExpandAddress(address, "/")) }

// checkAddress returns nil when the address that a flag has is one, whether or not somebody can be there.
func checkAddress(flag, address string) error {
	const forms = "give host:port, :port or the absolute path of a Unix socket"
	_, port, err := net.SplitHostPort(address)
	switch {
	case isSocket(address):
		return nil
	case address == "":
		return usagef("%s is empty: %s", flag, forms)
	case strings.Contains(address, "://"):
		return usagef("%s %q is a URL: give its host:port", flag, address)
	case strings.Contains(address, "/") || strings.HasSuffix(address, ".sock"):
		return usagef("%s %q is a relative path: that of a Unix socket has to be absolute", flag, address)
	}
	if wrong, ok := errors.AsType[*net.AddrError](err); ok {
		return usagef("%s %q: %s: %s", flag, address, wrong.Err, forms)
	}
	if _, err := net.LookupPort("tcp", port); err != nil || port == "" {
		return usagef("%s %q: there is no port %q: %s", flag, address, port, forms)
	}
	return nil
}
