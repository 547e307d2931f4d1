package metricclient

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
)

// An Option configures how a [MetricClient] talks to its server; see [NewMetricClientWithOptions].
// The default is plain HTTP without credentials, as required by a server started by
// [MetricClient.SpawnServer].
type Option func(*options)

type options struct {
	tls            *tls.Config
	user, password string
	hasUser        bool
	roundTripper   func(DialContext) http.RoundTripper
}

// DialContext connects to the server of a client. It ignores the network and the address.
type DialContext func(ctx context.Context, network, address string) (net.Conn, error)

// WithTLS makes the client use TLS. The server certificate must match config.ServerName if that is
// set, or else the host of the address, or localhost if the address has no host or is a Unix
// socket. A nil config means the system roots and no client certificate. The client does not change
// config.
func WithTLS(config *tls.Config) Option {
	if config == nil {
		config = new(tls.Config)
	}
	return func(o *options) { o.tls = config.Clone() }
}

// WithBasicAuth makes the client send a user name and a password with each request.
func WithBasicAuth(user, password string) Option {
	return func(o *options) { o.user, o.password, o.hasUser = user, password, true }
}

// WithRoundTripper makes the client send its requests through the RoundTripper that newRoundTripper
// returns, for credentials other than those of [WithBasicAuth]. The client calls newRoundTripper
// once, with the function that connects to the server. The RoundTripper must use this function for
// its connections. With [WithTLS], request URLs have the scheme https, and the RoundTripper must
// set up TLS itself.
func WithRoundTripper(newRoundTripper func(DialContext) http.RoundTripper) Option {
	return func(o *options) { o.roundTripper = newRoundTripper }
}

// transport returns the RoundTripper of a client of addr.
func (o *options) transport(addr string) http.RoundTripper {
	dialServer := func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, addr) }
	if o.roundTripper != nil {
		return o.roundTripper(dialServer)
	}
	return &http.Transport{
		DialContext: dialServer,
		// A kept-alive connection leads to the previous server if another server has taken over the
		// address.
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaderBytes,
		TLSClientConfig:        o.tls,
	}
}

// host returns the scheme and the host of request URLs. Certificates are checked against the host.
// Plain HTTP does not need it, because dial uses the address.
func (o *options) host(addr string) (scheme, host string) {
	if o.tls == nil {
		return "http", localhost
	}
	if name, _, err := net.SplitHostPort(addr); err == nil && name != "" && !strings.HasPrefix(addr, "/") {
		return "https", addr
	}
	return "https", localhost
}
