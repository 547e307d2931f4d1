// Package clientconfig reads the client's connection settings from a file in the format of the
// Prometheus HTTP client configuration.
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

// Load returns the client options set by a file, or none if file is empty. The client uses TLS if
// the file has a tls_config section, even an empty one.
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
	// OAuth2 tokens and proxies need connections to hosts other than the server.
	if c.OAuth2 != nil {
		return nil, errors.New("oauth2 is not supported: use basic_auth, authorization or a client certificate")
	}
	if c.ProxyURL.URL != nil || c.ProxyFromEnvironment {
		return nil, errors.New("a proxy is not supported: the client connects to the server itself")
	}
	// This validates the file. It makes no connection.
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
			return failed{err} // a file named in c has changed since
		}
		return rt
	})}
	if sections.TLS != nil {
		options = append(options, metricclient.WithTLS(new(tls.Config)))
	}
	return options, nil
}

// newRoundTripper returns a RoundTripper configured by c. It does not keep connections alive or use
// HTTP/2, because a client sends few requests.
func newRoundTripper(c *config.HTTPClientConfig, dial metricclient.DialContext) (http.RoundTripper, error) {
	return config.NewRoundTripperFromConfig(*c, "sandmeter", config.WithKeepAlivesDisabled(), config.WithHTTP2Disabled(),
		config.WithDialContextFunc(config.DialContextFunc(dial)))
}

// failed is a RoundTripper that always returns err.
type failed struct{ err error }

func (f failed) RoundTrip(*http.Request) (*http.Response, error) { return nil, f.err }
