package metricclient

import (
	"context"
	"io"
	"maps"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestGetMetricsReturnsThePage(t *testing.T) {
	const page = "# TYPE a gauge\na 1\n"
	c := serving(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || r.Header.Get("Accept-Encoding") != "" {
			t.Errorf("asked with %s and %v", r.Method, r.Header)
		}
		io.WriteString(w, page)
	})
	if got, err := c.GetMetrics(t.Context(), nil); got != page || err != nil {
		t.Errorf("got %q and error %v", got, err)
	}
}

func TestGetMetricsTakesParameters(t *testing.T) {
	var asked string
	c := serving(t, func(_ http.ResponseWriter, r *http.Request) { asked = r.RequestURI })
	f := func(want string, params map[string]string) {
		t.Helper()
		before := maps.Clone(params)
		if _, err := c.GetMetrics(t.Context(), params); err != nil {
			t.Errorf("%q: %v", params, err)
		}
		if asked != want {
			t.Errorf("%q: asked for %s, want %s", params, asked, want)
		}
		if !maps.Equal(params, before) {
			t.Errorf("the caller's map changed from %q to %q", before, params)
		}
	}
	const filter, caps = MetricsFilterParam, CapabilityFilterParam
	f("/metrics", nil)
	f("/metrics?"+filter+"=%5Efs_%28a%7Cb%29%2B%24", map[string]string{filter: "^fs_(a|b)+$"})
	f("/metrics?"+caps+"=NET&"+filter+"=", map[string]string{filter: "", caps: "NET"})

	// The empty key sets the path.
	f("/other", map[string]string{"": "other"})
	f("/", map[string]string{"": ""})
	f("/other?a=b", map[string]string{"": "/other", "a": "b"})
	f("/metrics?a=c", map[string]string{"": "/metrics?a=b", "a": "c"})
	f("/metrics?a=b+c", map[string]string{"": "/metrics?a=b c"})
	f("/metrics%3Fa=%5Eb$", map[string]string{"": "/metrics%3Fa=^b$"})
	f("/metrics%3Fa=b?c=d", map[string]string{"": "/metrics%3Fa=b", "c": "d"})
	f("/a%20b%23c", map[string]string{"": "/a b#c"})
	f("/a%0D%0Ab", map[string]string{"": "/a\r\nb"})

	_, err := c.GetMetrics(t.Context(), map[string]string{"": "/metrics%3"})
	wantError(t, err, nil, "/metrics%3", "invalid URL escape")
	_, err = c.GetMetrics(t.Context(), map[string]string{"": "/metrics?a=%z"})
	wantError(t, err, nil, "/metrics?a=%z", "invalid URL escape")
}

func TestGetMetricsSendsTheTimeThatIsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sent string
		transport := handlerTransport(func(_ http.ResponseWriter, r *http.Request) {
			sent = r.Header.Get("X-Prometheus-Scrape-Timeout-Seconds")
		})
		c := NewMetricClientWithOptions("localhost:1", testRoot, WithRoundTripper(func(DialContext) http.RoundTripper { return transport }))
		for limit, want := range map[time.Duration]string{time.Minute: "10.000", 1500 * time.Millisecond: "1.500"} {
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			if _, err := c.GetMetrics(ctx, nil); sent != want || err != nil {
				t.Errorf("sent %q, want %s; error %v", sent, want, err)
			}
		}
	})
}

func TestGetMetricsErrors(t *testing.T) {
	f := func(name string, c *MetricClient, is error, texts ...string) {
		t.Run(name, func(t *testing.T) {
			ctx := t.Context()
			if is == context.DeadlineExceeded {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, 50*time.Millisecond)
				defer cancel()
			}
			data, err := c.GetMetrics(ctx, nil)
			wantError(t, err, is, append(texts, c.addr)...)
			if data != "" {
				t.Errorf("data with an error: %q", data)
			}
		})
	}
	status := func(code int, body string) *MetricClient { return responding(t, code, body) }
	f("nothing listens", NewMetricClient(freePort(t), testRoot), ErrNotListening)
	f("a bad filter", status(400, "not a regular expression\nmore\n"), nil, "400 Bad Request: not a regular expression")
	f("a failure", status(500, "\r\n\x1b[31moh\x00 no\u202e\n"), nil, `500 Internal Server Error: \x1b[31moh\x00 no\u202e`)
	f("an empty failure", status(502, ""), nil, "502 Bad Gateway: (nothing)")
	f("a long failure", status(503, strings.Repeat("ä", 1<<20)), nil, "503 Service Unavailable: ä", "ä…")
	f("success with another status", status(206, "a 1\n"), nil, "206 Partial Content: a 1")
	f("a stall", stalling(t, ""), context.DeadlineExceeded)
	f("a stall in the page", stalling(t, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\na 1\n"), context.DeadlineExceeded)
}

// stalling returns a client of a server that sends only head, until the test ends.
func stalling(t testing.TB, head string) *MetricClient {
	t.Helper()
	release := make(chan struct{})
	c := listening(t, func(conn net.Conn) {
		saying(head)(conn)
		<-release
	})
	t.Cleanup(func() { close(release) })
	return c
}

func TestExcerpt(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		if got := excerpt(text); got != want {
			t.Errorf("excerpt(%q) = %q, want %q", text, got, want)
		}
	}
	f("", "")
	f("\r\none\r\ntwo", "one")
	f("tab\t bell\a del\x7f esc\x1b", `tab\t bell\a del\x7f esc\x1b`)
	f("right to left \u202e, c1 \u0085, ' \u2028", `right to left \u202e, c1 \u0085, ' \u2028`)
	f("\xff\xfe", "��")
	f(strings.Repeat("x", maxExcerpt), strings.Repeat("x", maxExcerpt))
	f(strings.Repeat("x", maxExcerpt+1), strings.Repeat("x", maxExcerpt)+"…")
	f("x"+strings.Repeat("ä", maxExcerpt), "x"+strings.Repeat("ä", maxExcerpt/2-1)+"…") // never splits a character
}
