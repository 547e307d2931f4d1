package main

import (
	"errors"
	"net"
	"path/filepath"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/spf13/pflag"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
)

// registerServer adds the flag for the address of a running server.
func registerServer(flags *pflag.FlagSet, address *string) {
	flags.StringVar(address, "address", defaultListenAddress, "Server `address`: host:port, or the absolute path of a Unix socket.")
}

// compileFilter compiles the regular expression of --filter.
func compileFilter(text string) (*regexp.Regexp, error) {
	filter, err := regexp.Compile(text)
	if wrong, ok := errors.AsType[*syntax.Error](err); ok {
		return nil, cli.Usagef("--filter %q: %s in %q", text, wrong.Code, wrong.Expr)
	}
	return filter, err
}

// isSocket reports whether an address is the path of a Unix socket.
func isSocket(address string) bool { return filepath.IsAbs(config.ExpandAddress(address, "/")) }

// checkAddress checks the syntax of the address in a flag. It does not connect.
func checkAddress(flag, address string) error {
	const forms = "give host:port, :port or the absolute path of a Unix socket"
	_, port, err := net.SplitHostPort(address)
	switch {
	case isSocket(address):
		return nil
	case address == "":
		return cli.Usagef("%s is empty: %s", flag, forms)
	case strings.HasPrefix(address, "unix:"):
		path := "/" + strings.TrimLeft(strings.TrimPrefix(address, "unix:"), "/")
		return cli.Usagef("%s %q is a URL: give the path, %s", flag, address, path)
	case strings.Contains(address, "://"):
		return cli.Usagef("%s %q is a URL: give its host:port", flag, address)
	case strings.Contains(address, "/") || strings.HasSuffix(address, ".sock"):
		return cli.Usagef("%s %q is a relative path: the path of a Unix socket must be absolute", flag, address)
	}
	if wrong, ok := errors.AsType[*net.AddrError](err); ok {
		return cli.Usagef("%s %q: %s: %s", flag, address, wrong.Err, forms)
	}
	if _, err := net.LookupPort("tcp", port); err != nil || port == "" {
		return cli.Usagef("%s %q: unknown port %q: %s", flag, address, port, forms)
	}
	return nil
}
