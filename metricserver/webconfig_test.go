package metricserver

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"

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
			if secured {
				anyone := newClient(r.addr, &tls.Config{RootCAs: r.tls.RootCAs, ServerName: "localhost"})
				if _, err := anyone.Get(r.url("/")); err == nil || !strings.Contains(err.Error(), "certificate required") {
					t.Errorf("%v, no certificate: %v", r.addr, err)
				}
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

// TestReload: a changed file takes effect at once, also on a connection from before the change.
func TestReload(t *testing.T) {
	w := newWorld(t)
	r := w.run(w.server(Options{Addresses: []string{"127.0.0.1:0"}, WebConfigFile: w.webConfig(usersSection)}))
	check := func(user string, want int) {
		t.Helper()
		if status, body, err := r.getWith("/-/healthy", as(user, testkit.Password)); err != nil || status != want {
			t.Errorf("%s: %d %s, %v, want %d", user, status, body, err, want)
		}
	}
	check("prometheus", http.StatusOK)
	w.webConfig(strings.Replace(usersSection, "prometheus:", "other:", 1))
	check("prometheus", http.StatusUnauthorized)
	check("other", http.StatusOK)
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
