package web

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

const hostRefused = "the server listens on a loopback address and does not accept requests for this host name: " +
	"use localhost or an IP address, or add the name to the server's allowed hosts (--web.allowed-hosts)\n"

func TestLimitHosts(t *testing.T) {
	w := newWorld(t, nil)
	limited := LimitHosts(w.handler, []string{"Node7.example", "proxy.example."}, slog.New(slog.DiscardHandler))
	check := func(host string, status int, body string) {
		t.Helper()
		r := httptest.NewRequest(http.MethodGet, "/runsc-metrics/healthcheck?root="+servedRoot, nil)
		r.Host = host
		response := httptest.NewRecorder()
		limited.ServeHTTP(response, r)
		if response.Code != status || response.Body.String() != body {
			t.Errorf("Host %q: %d %q, want %d %q", host, response.Code, response.Body, status, body)
		}
	}
	allows := func(host string) { t.Helper(); check(host, http.StatusOK, healthy) }
	refuses := func(host string) { t.Helper(); check(host, http.StatusForbidden, hostRefused) }

	for _, host := range []string{
		"", "localhost", "localhost:19640", "LOCALHOST:1", "localhost.", "a.localhost", "a.b.localhost:19640",
		"127.0.0.1", "127.0.0.1:19640", "[::1]", "[::1]:19640", "::1", "[fe80::1%25lo]:1", "192.0.2.1:80",
		"node7.example", "NODE7.example:19640", "node7.example.:19640", "proxy.example",
	} {
		allows(host)
	}
	for _, host := range []string{
		"evil.example", "evil.example:19640", "localhost.evil.example", "evillocalhost", "localhost.localdomain", ".", "127.0.0.1.evil.example",
		"127.1", "0x7f000001", "2130706433", "x.node7.example", "[evil.example]", ":19640x", "evil.example:1:2", "127.0.0.1:1:2",
	} {
		refuses(host)
	}
}

// TestRefusedHostIsLogged checks that a refused host is logged once and that long names are
// shortened.
func TestRefusedHostIsLogged(t *testing.T) {
	w := newWorld(t, nil)
	var log testkit.Buffer
	limited := LimitHosts(w.handler, nil, slog.New(slog.NewTextHandler(&log, nil)))
	for range 3 {
		r := httptest.NewRequest(http.MethodGet, "/metrics", nil)
		r.Host = strings.Repeat("x", 10_000)
		limited.ServeHTTP(httptest.NewRecorder(), r)
	}
	text := log.String()
	if strings.Count(text, "\n") != 1 || !strings.Contains(text, "level=WARN") || !strings.Contains(text, " host="+strings.Repeat("x", maxLoggedText)+" client=192.0.2.1:1234\n") {
		t.Errorf("the log is\n%s", text)
	}
}
