package metricserver

import (
	"crypto/tls"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

// onEachTransport runs a test once per transport, with options for it. Behavior must be the same on
// all transports.
func onEachTransport(t *testing.T, test func(w *world, o Options)) {
	t.Helper()
	for _, network := range []string{"TCP", "Unix"} {
		for _, secured := range []bool{false, true} {
			name := network
			if secured {
				name += " with TLS"
			}
			t.Run(name, func(t *testing.T) {
				w := newWorld(t)
				o := Options{Addresses: []string{"127.0.0.1:0"}}
				if network == "Unix" {
					o.Addresses = []string{w.path("socket")}
				}
				if secured {
					o.WebConfigFile = w.secure()
				}
				test(w, o)
			})
		}
	}
}

// secure writes a web configuration file that requires a client certificate, and gives the world's
// clients such a certificate.
func (w *world) secure() string {
	w.Helper()
	authority := testkit.NewAuthority(w)
	until := time.Now().Add(time.Hour)
	server, client := authority.Issue(w, "server", until), authority.Issue(w, "client", until)
	w.clientTLS = &tls.Config{RootCAs: authority.Pool, ServerName: "localhost", Certificates: []tls.Certificate{client.TLS}}
	return w.webConfig(tlsSection(authority, server))
}

// tlsSection returns the section of a web configuration file that enables TLS and requires client
// certificates.
func tlsSection(authority *testkit.Authority, server *testkit.Certificate) string {
	return fmt.Sprintf("tls_server_config:\n  cert_file: %s\n  key_file: %s\n  client_ca_file: %s\n  client_auth_type: RequireAndVerifyClientCert\n",
		server.CertFile, server.KeyFile, authority.File)
}

// webConfig writes a web configuration file atomically.
func (w *world) webConfig(text string) string {
	w.Helper()
	w.must(os.WriteFile(w.path("web.tmp"), []byte(text), 0o600))
	w.must(os.Rename(w.path("web.tmp"), w.path("web.yml")))
	return w.path("web.yml")
}
