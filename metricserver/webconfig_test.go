package metricserver

import (
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

// usersSection is the section of a web configuration file that requires passwords.
const usersSection = "basic_auth_users:\n  prometheus: " + testkit.PasswordHash + "\n"

// as returns the request header for a user name and a password.
func as(user, password string) http.Header {
	r := &http.Request{Header: make(http.Header)}
	r.SetBasicAuth(user, password)
	return r.Header
}

// TestPasswords: every path of every listener requires the password, with TLS and without.
func TestPasswords(t *testing.T) {
	for _, secured := range []bool{false, true} {
		w := newWorld(t)
		o := Options{Addresses: []string{"127.0.0.1:0", w.path("socket")}, AllowProfiling: true}
		section := ""
		if secured {
			text, err := os.ReadFile(w.secure())
			w.must(err)
			section = string(text)
		}
		o.WebConfigFile = w.webConfig(section + usersSection)
		r := w.run(w.server(o))
		check := func(path, password string, want int) {
			t.Helper()
			if status, body, err := r.getWith(path, as("prometheus", password)); err != nil || status != want {
				t.Errorf("%v, %s, password %q: %d %s, %v, want %d", r.addr, path, password, status, body, err, want)
			}
		}
		for _, r.addr = range r.addrs {
			r.client = newClient(r.addr, r.tls)
			defer r.client.CloseIdleConnections()
			for _, path := range []string{
				"/", "/metrics", "/metrics%3Fa=b", "/-/healthy", "/runsc-metrics/healthcheck?root=" + w.root, "/runsc-metrics/pid", "/runsc-metrics/profile-heap",
			} {
				check(path, testkit.Password, http.StatusOK)
				check(path, "wrong", http.StatusUnauthorized)
			}
			if status, _, err := r.get("/nonexistent"); err != nil || status != http.StatusUnauthorized {
				t.Errorf("%v, no password: %d, %v", r.addr, status, err)
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
	check("no certificate", get(after, new(testkit.Certificate), "other"), "refused")
	_, err := io.WriteString(kept, "GET /-/healthy HTTP/1.1\r\nHost: localhost\r\nAuthorization: "+as("prometheus", testkit.Password).Get("Authorization")+"\r\n\r\n")
	w.must(err)
	response, _, err := kept.response()
	w.must(err)
	check("the old user on an old connection", response.Status, "401 Unauthorized")

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

// TestWebConfigErrors: the server does not start with an invalid file.
func TestWebConfigErrors(t *testing.T) {
	w := newWorld(t)
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
	check("tls_server_config: {cert_file: missing.pem, key_file: missing.key}\n", "missing.pem: no such file or directory")
	w.refused(Options{Addresses: []string{w.path("socket")}, WebConfigFile: w.path("missing")},
		"web configuration file "+w.path("missing")+": open "+w.path("missing")+": no such file or directory")
}
