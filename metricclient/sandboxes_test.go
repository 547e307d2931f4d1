package metricclient

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestGetDocuments(t *testing.T) {
	const document = `{"snapshot_time": "2026-11-22T09:12:52Z", "sandboxes": []}` + "\n"
	f := func(path string, get func(*MetricClient, context.Context) ([]byte, error)) {
		t.Helper()
		c := serving(t, func(w http.ResponseWriter, r *http.Request) {
			if r.Method != http.MethodGet || r.RequestURI != path || r.Header.Get(scrapeTimeoutHeader) == "" {
				t.Errorf("asked with %s %s and %v", r.Method, r.RequestURI, r.Header)
			}
			io.WriteString(w, document)
		})
		if got, err := get(c, t.Context()); string(got) != document || err != nil {
			t.Errorf("got %q and error %v", got, err)
		}
	}
	f("/api/v1/sandboxes", (*MetricClient).GetSandboxes)
	f("/api/v1/status", (*MetricClient).GetStatus)
}

func TestGetSandboxesFails(t *testing.T) {
	f := func(name string, is error, reply string, texts ...string) {
		t.Run(name, func(t *testing.T) {
			c := listening(t, saying(strings.ReplaceAll(reply, "\n", "\r\n")))
			document, err := c.GetSandboxes(t.Context())
			wantError(t, err, is, append(texts, "sandboxes of the metric server at "+c.addr+": ")...)
			if document != nil {
				t.Errorf("got %q with the error", document)
			}
		})
	}
	f("no API", ErrNoAPI, "HTTP/1.1 404 Not Found\n\n\x1b[31mpath not found\n", `404 Not Found: \x1b[31mpath not found`)
	f("password", ErrUnauthorized, "HTTP/1.1 401 Unauthorized\n\n")
	f("plain HTTP", ErrTLS, "HTTP/1.1 400 Bad Request\n\n"+plainOnTLS)
	f("failed", nil, "HTTP/1.1 500 Internal Server Error\n\nthe request failed\n", "500 Internal Server Error: the request failed")
	f("too long", nil, "HTTP/1.1 200 OK\nContent-Length: 67108865\n\n", "67108865 bytes, the limit is 67108864")
	f("cut off", io.ErrUnexpectedEOF, "HTTP/1.1 200 OK\nContent-Length: 20\n\n{")

	_, err := NewMetricClient("/nonexistent/socket", testRoot).GetSandboxes(t.Context())
	wantError(t, err, ErrNotListening)
}
