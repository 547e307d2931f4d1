package metricclient

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"strings"
)

// An Option says how a [MetricClient] talks to its server. Without options it speaks plain HTTP and has no credentials, which is what a
// server that [MetricClient.SpawnServer] starts expects.
type Option func(*options)

type options struct {
	tls            *tls.Config
	user, password string
	hasUser        bool
	roundTripper   func(DialContext) http.RoundTripper
}

// DialContext connects to the server of a client, whatever address it is given.
type DialContext func(ctx context.Context, network, address string) (net.Conn, error)

// WithTLS makes the client speak TLS. It checks the server's certificate against the host in its address, or against localhost if that has none or
// is a Unix socket, unless config has a ServerName. A nil config means the roots of the system and no client certificate. The client does not
// change config.
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

// WithRoundTripper makes the client send its requests through the RoundTripper that newRoundTripper returns, for credentials other than those of
// [WithBasicAuth]. It is called once, with the function that connects to the server, which the RoundTripper has to use for that. Beside [WithTLS] the
// URLs of requests have the scheme https, and TLS is for the RoundTripper to set up.
func WithRoundTripper(newRoundTripper func(DialContext) http.RoundTripper) Option {
	return func(o *options) { o.roundTripper = newRoundTripper }
}

// transport returns what sends the requests of a client of addr.
func (o *options) transport(addr string) http.RoundTripper {
	dialServer := func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, addr) }
	if o.roundTripper != nil {
		return o.roundTripper(dialServer)
	}
	return &http.Transport{
		DialContext: dialServer,
		// A connection that was kept open leads to the server that was at the address then, not to the one that is there now.
		DisableKeepAlives:      true,
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHeaderBytes,
		TLSClientConfig:        o.tls,
	}
}

// host is that of the URLs of requests, which certificates are checked against. Plain HTTP needs none: dial knows the address.
func (o *options) host(addr string) (scheme, host string) {
	if o.tls == nil {
		return "http", localhost
	}
	if name, _, err := net.SplitHostPort(addr); err == nil && name != "" && !strings.HasPrefix(addr, "/") {
		return "https", addr
	}
	return "https", localhost
}
