package main

import (
	"regexp"
	"slices"

	"github.com/spf13/cobra"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/clientconfig"
	"github.com/sandmeter/sandmeter/metricclient"
)

const clientConfigFlag = "web.client-config.file"

// serverFlags are the flags for the address of a running server, and for the connection to it.
type serverFlags struct{ address, configFile string }

// settings returns the flags. The current address is the default.
func (f *serverFlags) settings() []config.Setting {
	return []config.Setting{
		{Name: "address", Placeholder: "address", Value: &f.address, Check: config.CheckAddress,
			Help: "Server address: host:port, or the absolute path of a Unix socket."},
		{Name: clientConfigFlag, Placeholder: "file", Value: &f.configFile,
			Help: "File with TLS settings and credentials, in the format of Prometheus's HTTP client configuration."},
	}
}

// client returns a client of the server for a runtime root. The caller closes it.
func (f *serverFlags) client(root string) (*metricclient.MetricClient, error) {
	options, err := clientconfig.Load(f.configFile)
	if err != nil {
		return nil, err
	}
	return metricclient.NewMetricClientWithOptions(f.address, root, options...), nil
}

// only returns the settings with some names, without headings.
func only(settings []config.Setting, names ...string) []config.Setting {
	settings = slices.DeleteFunc(settings, func(s config.Setting) bool { return !slices.Contains(names, s.Name) })
	for i := range settings {
		settings[i].Heading = ""
	}
	return settings
}

// without returns the settings without those with some names.
func without(settings []config.Setting, names ...string) []config.Setting {
	return slices.DeleteFunc(settings, func(s config.Setting) bool { return slices.Contains(names, s.Name) })
}

// jsonFlag returns the flag --json. instead names the output without it.
func jsonFlag(on *bool, instead string) config.Setting {
	return config.Setting{Name: "json", Value: on, Help: "Write JSON instead of " + instead + "."}
}

// fromEnv is the PreRunE of commands whose flags environment variables can set.
func fromEnv(cmd *cobra.Command, _ []string) error { return cli.FromEnv(cmd.Flags()) }

// checkFilter checks the regular expression of --filter.
func checkFilter(text string) error {
	_, err := regexp.Compile(text)
	return err
}
