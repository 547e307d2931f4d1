// Package clientconfig reads how a client talks to a server from a file in the format of Prometheus's HTTP client configuration.
package clientconfig

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"

	"github.com/prometheus/common/config"
	"go.yaml.in/yaml/v2"

	"github.com/sandmeter/sandmeter/metricclient"
)

// Load returns what a client needs to talk to a server as a file says, and nothing for no file, "". The client speaks TLS if the file has the
// section tls_config, even an empty one.
func Load(file string) ([]metricclient.Option, error) {
	if file == "" {
		return nil, nil
	}
	options, err := load(file)
	if err != nil {
		return nil, fmt.Errorf("client configuration file %s: %w", file, err)
	}
	return options, nil
}

func load(file string) ([]metricclient.Option, error) {
	c, text, err := config.LoadHTTPConfigFile(file)
	if err != nil {
		return nil, err
	}
	// Tokens and proxies take connections to other places than the server.
	if c.OAuth2 != nil {
		return nil, errors.New("oauth2 is not supported: use basic_auth, authorization or a client certificate")
	}
	if c.ProxyURL.URL != nil || c.ProxyFromEnvironment {
		return nil, errors.New("a proxy is not supported: the client connects to the server itself")
	}
	// This finds what is wrong with the file; no connection is made.
	if _, err := newRoundTripper(c, nil); err != nil {
		return nil, err
	}
	var sections struct {
		TLS map[string]any `yaml:"tls_config"`
	}
	if err := yaml.Unmarshal(text, &sections); err != nil {
		return nil, err
	}
	options := []metricclient.Option{metricclient.WithRoundTripper(func(dial metricclient.DialContext) http.RoundTripper {
		rt, err := newRoundTripper(c, dial)
		if err != nil {
			return failed{err} // a file that c names has changed since
		}
		return rt
	})}
	if sections.TLS != nil {
		options = append(options, metricclient.WithTLS(new(tls.Config)))
	}
	return options, nil
}

// newRoundTripper returns what sends requests as c says. Connections are not kept, and there is no HTTP/2: a client sends few requests.
func newRoundTripper(c *config.HTTPClientConfig, dial metricclient.DialContext) (http.RoundTripper, error) {
	return config.NewRoundTripperFromConfig(*c, "sandmeter", config.WithKeepAlivesDisabled(), config.WithHTTP2Disabled(),
		config.WithDialContextFunc(config.DialContextFunc(dial)))
}

// failed is a RoundTripper that cannot send anything.
type failed struct{ err error }

func (f failed) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }
