package metricclient

import (
	"context"
	"io"
	"net/http"
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
	f := func(is error, reply string, texts ...string) {
		t.Helper()
		c := listening(t, saying(reply))
		document, err := c.GetSandboxes(t.Context())
		wantError(t, err, is, append(texts, "sandboxes of the metric server at "+c.addr+": ")...)
		if document != nil {
			t.Errorf("got %q with the error", document)
		}
	}
	f(ErrNoAPI, "HTTP/1.1 404 Not Found\r\n\r\n\x1b[31mpath not found\n", `404 Not Found: \x1b[31mpath not found`)
	f(ErrUnauthorized, "HTTP/1.1 401 Unauthorized\r\n\r\n")
	f(nil, "HTTP/1.1 200 OK\r\nContent-Length: 67108865\r\n\r\n", "67108865 bytes, the limit is 67108864")
}
