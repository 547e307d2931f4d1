package clientconfig

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/testkit"
	"github.com/sandmeter/sandmeter/metricclient"
)

// write creates a client configuration file and returns its path.
func write(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(testkit.TempDir(t), "client.yml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// health runs a health check on a server, with a client configuration file.
func health(t *testing.T, address, file string) error {
	t.Helper()
	options, err := Load(file)
	if err != nil {
		t.Fatal(err)
	}
	c := metricclient.NewMetricClientWithOptions(address, "/r", options...)
	defer c.Close()
	return c.HealthCheck(t.Context())
}

// serve runs a server until the test ends. It accepts only requests with this Authorization header.
func serve(t *testing.T, network, authorization string, config *tls.Config) string {
	t.Helper()
	address := "127.0.0.1:0"
	if network == "unix" {
		address = filepath.Join(testkit.TempDir(t), "s")
	}
	l, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, TLS: config, Config: &http.Server{
		ErrorLog: log.New(io.Discard, "", 0),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != authorization {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			io.WriteString(w, "runsc-metrics:OK")
		})}}
	if config != nil {
		server.StartTLS()
	} else {
		server.Start()
	}
	t.Cleanup(server.Close)
	return l.Addr().String()
}

// TestClient checks that the file controls TLS and credentials, over TCP and Unix sockets.
func TestClient(t *testing.T) {
	authority := testkit.NewAuthority(t)
	certificate := authority.Issue(t, "client", time.Now().Add(time.Hour))
	config := &tls.Config{Certificates: []tls.Certificate{certificate.TLS}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority.Pool}
	const basic, bearer = "Basic bWU6c2VjcmV0", "Bearer secret"
	for _, network := range []string{"tcp", "unix"} {
		check := func(address, text string, want error) {
			t.Helper()
			if err := health(t, address, write(t, text)); !errors.Is(err, want) {
				t.Errorf("%s, %s: %v, want %v", network, text, err, want)
			}
		}
		plain := serve(t, network, basic, nil)
		check(plain, "basic_auth: {username: me, password: secret}", nil)
		check(plain, "basic_auth: {username: me, password: wrong}", metricclient.ErrUnauthorized)
		check(plain, "{}", metricclient.ErrUnauthorized)
		check(plain, "basic_auth: {username: me, password: secret}\ntls_config: {}", metricclient.ErrTLS)
		check(serve(t, network, bearer, nil), "authorization: {credentials: secret}", nil)

		secured := serve(t, network, basic, config)
		tlsSection := fmt.Sprintf("tls_config: {ca_file: %s, cert_file: %s, key_file: %s", authority.File, certificate.CertFile, certificate.KeyFile)
		const password = "}\nbasic_auth: {username: me, password: secret}"
		check(secured, tlsSection+password, nil)
		check(secured, tlsSection+", server_name: localhost"+password, nil)
		check(secured, tlsSection+", server_name: other.example"+password, metricclient.ErrTLS)
		check(secured, tlsSection+"}", metricclient.ErrUnauthorized)
		check(secured, "tls_config: {}", metricclient.ErrTLS)
		check(secured, "{}", metricclient.ErrTLS)
	}
}

func TestErrors(t *testing.T) {
	check := func(text, want string) {
		t.Helper()
		file := write(t, text)
		_, err := Load(file)
		if err == nil || !strings.HasPrefix(err.Error(), "client configuration file "+file+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
	check("}", "yaml")
	check("unknown: 1", "field unknown not found")
	check("tls_config: {ca_file: missing.pem}", "missing.pem: no such file or directory")
	check("tls_config: {cert_file: missing.pem}", "exactly one of key or key_file must be configured")
	check("basic_auth: {username: a, password: b, password_file: c}", "at most one of basic_auth password")
	check("oauth2: {client_id: a, client_secret: b, token_url: 'http://x/'}", "oauth2 is not supported: use basic_auth, authorization or a client certificate")
	check("proxy_url: http://x/", "a proxy is not supported: the client connects to the server itself")
	check("proxy_from_environment: true", "a proxy is not supported")
	if options, err := Load(""); options != nil || err != nil {
		t.Errorf("without a file: %v, %v", options, err)
	}
	if _, err := Load("/missing"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
}
