package web

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// TestLimitHosts: a request for another name is refused, and logged once with the beginning of the name.
func TestLimitHosts(t *testing.T) {
	w := newWorld(t, nil)
	limited := LimitHosts(w.handler, []string{"Node7.example", "proxy.example."}, slog.New(slog.NewTextHandler(&w.log, nil)))
	check := func(status int, body string, hosts ...string) {
		t.Helper()
		for _, host := range hosts {
			r := httptest.NewRequest(http.MethodGet, "/runsc-metrics/healthcheck?root="+servedRoot, nil)
			r.Host = host
			response := httptest.NewRecorder()
			limited.ServeHTTP(response, r)
			w.expect(response, status, body)
		}
	}
	check(http.StatusOK, healthy, "", "localhost", "localhost:19640", "LOCALHOST:1", "localhost.", "a.localhost", "a.b.localhost:19640",
		"127.0.0.1", "127.0.0.1:19640", "[::1]", "[::1]:19640", "::1", "[fe80::1%25lo]:1", "192.0.2.1:80",
		"node7.example", "NODE7.example:19640", "node7.example.:19640", "proxy.example")
	check(http.StatusForbidden, "the server listens on a loopback address and does not accept requests for this host name: "+
		"use localhost or an IP address, or add the name to the server's allowed hosts (--web.allowed-hosts)\n",
		strings.Repeat("x", 10_000), "evil.example", "evil.example:19640", "localhost.evil.example", "evillocalhost", "localhost.localdomain", ".",
		"127.0.0.1.evil.example", "127.1", "0x7f000001", "2130706433", "x.node7.example", "[evil.example]", ":19640x", "evil.example:1:2", "127.0.0.1:1:2")
	log := w.log.String()
	if strings.Count(log, "\n") != 1 || !strings.Contains(log, "level=WARN") || !strings.Contains(log, " host="+strings.Repeat("x", maxLoggedText)+" client=192.0.2.1:1234\n") {
		t.Errorf("the log is\n%s", log)
	}
}
