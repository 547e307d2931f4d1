package main

import (
	"errors"
	"net"
	"path/filepath"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/clientconfig"
	"github.com/sandmeter/sandmeter/metricclient"
)

const clientConfigFlag = "web.client-config.file"

// serverFlags are the flags for the address of a running server, and for the connection to it.
type serverFlags struct{ address, configFile string }

// register adds the flags to a command. address is the default.
func (f *serverFlags) register(cmd *cobra.Command, address string) {
	flags := cmd.Flags()
	flags.StringVar(&f.address, "address", address, "Server `address`: host:port, or the absolute path of a Unix socket.")
	flags.StringVar(&f.configFile, clientConfigFlag, "",
		"`File` with TLS settings and credentials, in the format of Prometheus's HTTP client configuration.")
	_ = cmd.MarkFlagFilename(clientConfigFlag, "yml", "yaml") // fails only for unknown flags
}

// client returns a client of the server for a runtime root. The caller closes it.
func (f *serverFlags) client(root string) (*metricclient.MetricClient, error) {
	if err := checkAddress("--address", f.address); err != nil {
		return nil, err
	}
	options, err := clientconfig.Load(f.configFile)
	if err != nil {
		return nil, err
	}
	return metricclient.NewMetricClientWithOptions(f.address, root, options...), nil
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
