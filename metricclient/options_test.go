package metricclient

import (
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

// securedServer is a healthy TLS server that requires a client certificate and a password.
type securedServer struct {
	addr              string
	authority         *testkit.Authority
	certificate, user tls.Certificate
}

// newSecuredServer starts a securedServer at a TCP address or a Unix socket.
func newSecuredServer(t *testing.T, network string) *securedServer {
	t.Helper()
	until := time.Now().Add(time.Hour)
	s := &securedServer{authority: testkit.NewAuthority(t)}
	s.certificate, s.user = s.authority.Issue(t, "server", until).TLS, s.authority.Issue(t, "client", until).TLS
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(testkit.TempDir(t), "s")
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	s.addr = listener.Addr().String()
	healthy := fakeHandler(testRoot, os.Getpid())
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		switch {
		case r.Host != "localhost":
			t.Errorf("the Host header is %q", r.Host)
		case user != "me" || password != testkit.Password:
			http.Error(w, "Unauthorized", http.StatusUnauthorized)
		default:
			healthy.ServeHTTP(w, r)
		}
	})}}
	server.Config.ErrorLog = discardLog
	server.TLS = &tls.Config{Certificates: []tls.Certificate{s.certificate}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: s.authority.Pool}
	server.StartTLS()
	t.Cleanup(server.Close)
	return s
}

// config returns the TLS configuration of a valid client.
func (s *securedServer) config() *tls.Config {
	return &tls.Config{RootCAs: s.authority.Pool, Certificates: []tls.Certificate{s.user}}
}

func TestSecuredServer(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		s := newSecuredServer(t, network)
		foreign := testkit.NewAuthority(t)
		sends := func(certificate tls.Certificate) *tls.Config {
			config := s.config()
			config.Certificates = nil
			// The client sends its certificate even if the server names other authorities.
			config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &certificate, nil }
			return config
		}
		check := func(who string, want error, options ...Option) {
			t.Helper()
			c := NewMetricClientWithOptions(s.addr, testRoot, options...)
			defer c.Close()
			health := c.HealthCheck(t.Context())
			_, metrics := c.GetMetrics(t.Context(), nil)
			for _, err := range []error{health, metrics} {
				if !errors.Is(err, want) || want != nil && errors.Is(err, ErrNotMetricServer) {
					t.Errorf("%s: %v, want %v", who, err, want)
				}
			}
		}
		right := WithBasicAuth("me", testkit.Password)
		check("all is right", nil, WithTLS(s.config()), right)
		check("a wrong password", ErrUnauthorized, WithTLS(s.config()), WithBasicAuth("me", "wrong"))
		check("no password", ErrUnauthorized, WithTLS(s.config()))
		check("an expired certificate", ErrTLS, WithTLS(sends(s.authority.Issue(t, "expired", time.Now().Add(-time.Hour)).TLS)), right)
		check("a certificate of another authority", ErrTLS, WithTLS(sends(foreign.Issue(t, "client", time.Now().Add(time.Hour)).TLS)), right)
		check("no certificate", ErrTLS, WithTLS(sends(tls.Certificate{})), right)
		check("a server of another authority", ErrTLS, WithTLS(&tls.Config{RootCAs: foreign.Pool, Certificates: []tls.Certificate{s.user}}), right)
		other := s.config()
		other.ServerName = "other.example"
		check("a certificate for another name", ErrTLS, WithTLS(other), right)
		check("the system's authorities", ErrTLS, WithTLS(nil), right)
		check("plain HTTP", ErrTLS, right)
	}
}

// TestTLSOnPlainServer checks that a server without TLS is distinguished from something other than
// a metric server.
func TestTLSOnPlainServer(t *testing.T) {
	server := httptest.NewServer(fakeHandler(testRoot, 1))
	defer server.Close()
	c := NewMetricClientWithOptions(server.Listener.Addr().String(), testRoot, WithTLS(nil))
	wantError(t, c.HealthCheck(t.Context()), ErrTLS, "HTTP response to HTTPS client")
}

// TestHostOfTheAddress checks the host that certificates are verified against.
func TestHostOfTheAddress(t *testing.T) {
	f := func(addr string, config *tls.Config, want string) {
		t.Helper()
		c := NewMetricClientWithOptions(addr, testRoot, func(o *options) { o.tls = config })
		if got := c.serverURL("/x").String(); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
	f("/run/s", nil, "http://localhost/x")
	f("node7:80", new(tls.Config), "https://node7:80/x")
	f("[::1]:80", new(tls.Config), "https://[::1]:80/x")
	f(":80", new(tls.Config), "https://localhost/x")
	f("/run/a:80", new(tls.Config), "https://localhost/x")
}

// TestWithRoundTripper checks that the RoundTripper receives the requests and connects to the
// server with the given function.
func TestWithRoundTripper(t *testing.T) {
	for _, network := range []string{"tcp", "unix"} {
		s := newSecuredServer(t, network)
		c := NewMetricClientWithOptions(s.addr, testRoot, WithTLS(nil), WithRoundTripper(func(dial DialContext) http.RoundTripper {
			return withPassword{&http.Transport{DialContext: dial, TLSClientConfig: s.config(), DisableKeepAlives: true}}
		}))
		if err := c.HealthCheck(t.Context()); err != nil {
			t.Errorf("%s: %v", network, err)
		}
	}
	c := NewMetricClientWithOptions(freePort(t), testRoot, WithRoundTripper(func(dial DialContext) http.RoundTripper {
		return &http.Transport{DialContext: dial}
	}))
	wantError(t, c.HealthCheck(t.Context()), ErrNotListening)
}

// withPassword is a RoundTripper that adds a password to requests.
type withPassword struct{ next http.RoundTripper }

func (w withPassword) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.SetBasicAuth("me", testkit.Password)
	return w.next.RoundTrip(r)
}

// discardLog is for servers with intentionally failing handshakes.
var discardLog = log.New(io.Discard, "", 0)
