package metricserver

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

// usersSection is the section of a web configuration file that requires passwords.
const usersSection = "basic_auth_users:\n  prometheus: " + testkit.PasswordHash + "\n"

// allPaths returns the paths of the server, with the status of each.
func (w *world) allPaths() map[string]int {
	return map[string]int{
		"/": http.StatusOK, "/metrics": http.StatusOK, "/metrics%3Fa=b": http.StatusOK, "/-/healthy": http.StatusOK, "/-/ready": http.StatusOK,
		"/runsc-metrics/healthcheck?root=" + w.root: http.StatusOK, "/runsc-metrics/pid": http.StatusOK, "/runsc-metrics/profile-heap": http.StatusOK,
		"/nonexistent": http.StatusNotFound,
	}
}

// as returns the request header for a user name and a password.
func as(user, password string) http.Header {
	r := &http.Request{Header: make(http.Header)}
	r.SetBasicAuth(user, password)
	return r.Header
}

// TestPasswords: every path of every listener requires the password.
func TestPasswords(t *testing.T) {
	onEachTransport(t, func(w *world, o Options) {
		section := ""
		if o.WebConfigFile != "" {
			text, err := os.ReadFile(o.WebConfigFile)
			w.must(err)
			section = string(text)
		}
		o.WebConfigFile, o.AllowProfiling = w.webConfig(section+usersSection), true
		o.Addresses = append(o.Addresses, w.path("other"))
		r := w.run(w.server(o))
		check := func(path, who string, header http.Header, want int) {
			w.Helper()
			if status, body, err := r.getWith(path, header); err != nil || status != want {
				w.Errorf("%v, %s, %s: %d %s, %v, want %d", r.addr, path, who, status, body, err, want)
			}
		}
		for _, r.addr = range r.addrs {
			r.client = newClient(r.addr, r.tls)
			defer r.client.CloseIdleConnections()
			for path, status := range w.allPaths() {
				testkit.Until(w, "the roots are listed", func() bool {
					status, _, _ := r.getWith("/-/ready", as("prometheus", testkit.Password))
					return status == http.StatusOK
				})
				check(path, "the right password", as("prometheus", testkit.Password), status)
				check(path, "a wrong password", as("prometheus", "wrong"), http.StatusUnauthorized)
				check(path, "an empty password", as("prometheus", ""), http.StatusUnauthorized)
				check(path, "an unknown user", as("somebody", testkit.Password), http.StatusUnauthorized)
				check(path, "no password", nil, http.StatusUnauthorized)
				check(path, "a token", http.Header{"Authorization": {"Bearer " + testkit.Password}}, http.StatusUnauthorized)
			}
		}
	})
}

// TestClientCertificates: the server rejects every client without a certificate of the authority.
func TestClientCertificates(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "socket"} {
		w := newWorld(t)
		if address == "socket" {
			address = w.path("socket")
		}
		authority, foreign := testkit.NewAuthority(w), testkit.NewAuthority(w)
		later, earlier := time.Now().Add(time.Hour), time.Now().Add(-time.Hour)
		server := authority.Issue(w, "server", later)
		r := w.run(w.server(Options{Addresses: []string{address}, WebConfigFile: w.webConfig(tlsSection(authority, server))}))
		check := func(who string, want string, certificates ...tls.Certificate) {
			t.Helper()
			// The client sends its certificate even if the server lists other authorities.
			r.tls = &tls.Config{RootCAs: authority.Pool, ServerName: "localhost", GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
				return &append(certificates, tls.Certificate{})[0], nil
			}}
			c, err := r.tryDial()
			if want == "" {
				w.must(err)
				r.exchange(c)
				return
			}
			if err == nil { // with TLS 1.3 the server rejects it after the client's handshake
				w.must(c.SetReadDeadline(time.Now().Add(ample)))
				_, err = c.Read(make([]byte, 1))
			}
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", who, err, want)
			}
		}
		check("a certificate of the authority", "", authority.Issue(w, "client", later).TLS)
		check("an expired certificate", "tls: expired certificate", authority.Issue(w, "expired", earlier).TLS)
		check("a certificate of another authority", "tls: unknown certificate authority", foreign.Issue(w, "client", later).TLS)
		check("no certificate", "tls: certificate required")
	}
}

// TestPlainHTTPOnTLS: the server rejects plain HTTP on a TLS port with an explanation.
func TestPlainHTTPOnTLS(t *testing.T) {
	for _, address := range []string{"127.0.0.1:0", "socket"} {
		w := newWorld(t)
		if address == "socket" {
			address = w.path("socket")
		}
		r := w.run(w.server(Options{Addresses: []string{address}, WebConfigFile: w.secure()}))
		r.tls = nil
		r.client = newClient(r.addr, nil)
		for path := range w.allPaths() {
			status, body, err := r.get(path)
			if err != nil || status != http.StatusBadRequest || body != "Client sent an HTTP request to an HTTPS server.\n" {
				t.Errorf("%s: %d %s, %v", path, status, body, err)
			}
		}
	}
}

// TestNoHTTP2: the limits are per connection, and HTTP/2 sends many requests on one connection.
func TestNoHTTP2(t *testing.T) {
	w := newWorld(t)
	r := w.run(w.server(Options{Addresses: []string{"127.0.0.1:0"}, WebConfigFile: w.secure()}))
	config := r.tls.Clone()
	config.NextProtos = []string{"h2", "http/1.1"}
	c, err := tls.Dial("tcp", r.addr.String(), config)
	w.must(err)
	defer c.Close()
	if got := c.ConnectionState().NegotiatedProtocol; got != "http/1.1" {
		t.Errorf("the protocol is %q", got)
	}
}

// TestHostsWithTLS: the Host header is checked on the loopback address only, also if the server has
// other listeners.
func TestHostsWithTLS(t *testing.T) {
	onEachTransport(t, func(w *world, o Options) {
		o.Addresses = append(o.Addresses, "0.0.0.0:0", "127.0.0.1:0", w.path("other"))
		r := w.run(w.server(o))
		for _, addr := range r.addrs {
			client := newClient(addr, r.tls)
			request, err := http.NewRequest(http.MethodGet, r.url("/-/healthy"), nil)
			w.must(err)
			request.Host = "evil.example"
			response, err := client.Do(request)
			w.must(err)
			response.Body.Close()
			client.CloseIdleConnections()
			want := http.StatusOK
			if tcp, ok := addr.(*net.TCPAddr); ok && tcp.IP.IsLoopback() {
				want = http.StatusForbidden
			}
			if response.StatusCode != want {
				w.Errorf("%v: %d for host evil.example, want %d", addr, response.StatusCode, want)
			}
		}
	})
}

// TestReload: a changed file takes effect at once, and a broken file blocks all clients.
func TestReload(t *testing.T) {
	w := newWorld(t)
	before, after := testkit.NewAuthority(w), testkit.NewAuthority(w)
	until := time.Now().Add(time.Hour)
	beforeClient, afterClient := before.Issue(w, "client", until), after.Issue(w, "client", until)
	beforeText := tlsSection(before, before.Issue(w, "server", until)) + usersSection
	afterText := strings.Replace(tlsSection(after, after.Issue(w, "server", until))+usersSection, "prometheus:", "other:", 1)
	s := w.server(Options{Addresses: []string{"127.0.0.1:0"}, WebConfigFile: w.webConfig(beforeText)})
	s.limits.header = ample // the test keeps a connection open
	r := w.run(s)
	get := func(authority *testkit.Authority, certificate *testkit.Certificate, user string) string {
		r.tls = &tls.Config{RootCAs: authority.Pool, ServerName: "localhost", Certificates: []tls.Certificate{certificate.TLS}}
		r.client = newClient(r.addr, r.tls)
		defer r.client.CloseIdleConnections()
		status, _, err := r.getWith("/-/healthy", as(user, testkit.Password))
		if err != nil {
			return "refused"
		}
		return fmt.Sprint(status)
	}
	check := func(what, got, want string) {
		t.Helper()
		if got != want {
			t.Errorf("%s: %s, want %s", what, got, want)
		}
	}
	check("before", get(before, beforeClient, "prometheus"), "200")
	kept := r.dial() // a connection from before the change

	w.webConfig(afterText)
	check("the old authority", get(before, beforeClient, "prometheus"), "refused")
	check("the old user", get(after, afterClient, "prometheus"), "401")
	check("the new user", get(after, afterClient, "other"), "200")
	_, err := io.WriteString(kept, "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nAuthorization: "+as("prometheus", testkit.Password).Get("Authorization")+"\r\n\r\n")
	w.must(err)
	if line := make([]byte, 12); err == nil {
		_, err = io.ReadFull(kept, line)
		w.must(err)
		check("the old user on an old connection", string(line), "HTTP/1.1 401")
	}

	for _, broken := range []string{"}", "unknown: 1\n"} {
		w.webConfig(broken)
		check("a broken file", get(after, afterClient, "other"), "refused")
	}
	w.webConfig(usersSection)
	check("a file without TLS", get(after, afterClient, "prometheus"), "refused")
	w.webConfig(afterText)
	check("the file again", get(after, afterClient, "other"), "200")
}

// TestBrokenFileIsLogged: the error is logged once per minute, however many requests fail.
func TestBrokenFileIsLogged(t *testing.T) {
	w := newWorld(t)
	var log testkit.Buffer
	r := w.run(w.server(Options{
		Addresses: []string{"127.0.0.1:0"}, WebConfigFile: w.webConfig(usersSection), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}))
	// After this response the server has read the file.
	if status, _, err := r.get("/-/healthy"); err != nil || status != http.StatusUnauthorized {
		t.Errorf("%d, %v", status, err)
	}
	w.webConfig("}")
	for range 5 {
		if status, body, err := r.get("/-/healthy"); err != nil || status != http.StatusInternalServerError {
			t.Errorf("%d %s, %v", status, body, err)
		}
	}
	if got := strings.Count(log.String(), "\n"); got != 1 || !strings.Contains(log.String(), "level=ERROR") {
		t.Errorf("the log is\n%s", log.String())
	}
}

// TestHeadersAndRateLimit: headers and the rate limit of the file apply.
func TestHeadersAndRateLimit(t *testing.T) {
	w := newWorld(t)
	r := w.run(w.server(Options{Addresses: []string{"127.0.0.1:0"}, WebConfigFile: w.webConfig(
		"http_server_config: {headers: {X-Frame-Options: deny}}\nrate_limit: {interval: 1h, burst: 2}\n")}))
	for i, want := range []int{http.StatusOK, http.StatusOK, http.StatusTooManyRequests} {
		response, err := r.client.Get(r.url("/-/healthy"))
		w.must(err)
		response.Body.Close()
		if got := response.Header.Get("X-Frame-Options"); response.StatusCode != want || want == http.StatusOK && got != "deny" {
			t.Errorf("request %d: %s, X-Frame-Options %q", i, response.Status, got)
		}
	}
}

// TestWebConfigErrors: the server does not start with an invalid file.
func TestWebConfigErrors(t *testing.T) {
	w := newWorld(t)
	certificate := testkit.NewAuthority(t).Issue(t, "server", time.Now().Add(time.Hour))
	check := func(text, want string) {
		t.Helper()
		file := w.webConfig(text)
		_, err := w.tryRun(w.server(Options{Addresses: []string{w.path("socket")}, WebConfigFile: file}))
		if err == nil || !strings.HasPrefix(err.Error(), "web configuration file "+file+": ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
		w.nothingAt(w.path("socket"))
	}
	check("}", "yaml")
	check("unknown: 1\n", "field unknown not found")
	check("basic_auth_users: {a: not-a-hash}\n", "hashedSecret too short")
	check("tls_server_config: {cert_file: missing.pem, key_file: missing.key}\n", "missing.pem: no such file or directory")
	check("tls_server_config: {cert_file: "+certificate.CertFile+"}\n", "missing one of key or key_file")
	check("tls_server_config: {cert_file: "+certificate.CertFile+", key_file: "+certificate.CertFile+"}\n", "tls:")
	check("http_server_config: {headers: {Server: x}}\n", `HTTP header "Server" can not be configured`)
	w.refused(Options{Addresses: []string{w.path("socket")}, WebConfigFile: w.path("missing")},
		"web configuration file "+w.path("missing")+": open "+w.path("missing")+": no such file or directory")
}
