package metricclient

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadBody(t *testing.T) {
	f := func(body string, limit int64) {
		t.Helper()
		for _, r := range []io.Reader{strings.NewReader(body), iotest.DataErrReader(strings.NewReader(body)), iotest.HalfReader(strings.NewReader(body))} {
			if got, err := readBody(r, limit); err != nil || got != body {
				t.Errorf("%d bytes, limit %d: got %d bytes and error %v", len(body), limit, len(got), err)
			}
		}
	}
	f("", 0)
	f("abc", 3)
	f("abc", 1<<63-1)
	for _, n := range []int{firstChunk - 1, firstChunk, firstChunk + 1, 2 * firstChunk, 3*largestChunk + 1} {
		f(strings.Repeat("0123456789", n/10+1)[:n], int64(n))
	}

	fails := func(body io.Reader, limit int64, is error, want string, texts ...string) {
		t.Helper()
		got, err := readBody(body, limit)
		wantError(t, err, is, texts...)
		if got != want {
			t.Errorf("%v: got %q", err, got)
		}
	}
	broken := errors.New("broken")
	fails(strings.NewReader("abcd"), 3, nil, "", "longer than 3 bytes")
	fails(strings.NewReader("a"), 0, nil, "", "longer than 0 bytes")
	fails(io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(broken)), 3, broken, "ab")
	fails(io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(io.ErrUnexpectedEOF)), 3, io.ErrUnexpectedEOF, "ab")
}

// TestMemoryFollowsTheBody checks that reading a body needs a small multiple of its size,
// regardless of the limit, until the body exceeds the limit.
func TestMemoryFollowsTheBody(t *testing.T) {
	f := func(size, limit int64) {
		t.Helper()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := readBody(io.LimitReader(zeros{}, size), limit)
		runtime.ReadMemStats(&after)
		allocated, most := after.TotalAlloc-before.TotalAlloc, uint64(3*min(size, limit)+2*largestChunk)
		if (err != nil) != (size > limit) || allocated > most {
			t.Errorf("%d bytes, limit %d: %d bytes allocated, want at most %d; error %v", size, limit, allocated, most, err)
		}
	}
	f(1<<10, 1<<40)
	f(5<<20, 1<<40)
	f(64<<20, 1<<40)
	f(1<<50, 16<<20)
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func TestMaxPageSize(t *testing.T) {
	const page = "a 1\nb 2\n"
	c := serving(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, page)
		w.(http.Flusher).Flush() // chunked
	})
	f := func(limit int64, texts ...string) {
		t.Helper()
		c.SetMaxPageSize(limit)
		got, err := c.GetMetrics(t.Context(), nil)
		if len(texts) > 0 {
			wantError(t, err, nil, texts...)
		} else if got != page || err != nil {
			t.Errorf("limit %d: got %q and error %v", limit, got, err)
		}
	}
	f(int64(len(page)))
	f(1<<63 - 1)
	f(0) // means the default
	f(-1)
	f(int64(len(page))-1, "the reply is longer than 7 bytes")
	f(1, "the reply is longer than 1 bytes")

	if got := new(MetricClient).maxPageSize(); got != 256<<20 {
		t.Errorf("the default is %d bytes", got)
	}
}

// TestGetMetricsRefusesByTheHead uses a server that sends a response header and then waits, so that
// only the header can cause the error.
func TestGetMetricsRefusesByTheHead(t *testing.T) {
	f := func(head string, texts ...string) {
		t.Helper()
		c := stalling(t, "HTTP/1.1 200 OK\r\n"+head+"\r\n\r\n")
		_, err := c.GetMetrics(t.Context(), nil)
		wantError(t, err, nil, texts...)
	}
	f(fmt.Sprint("Content-Length: ", DefaultMaxPageSize+1), "the reply has 268435457 bytes, the limit is 268435456")
	f("Content-Length: 9223372036854775807", "the limit is 268435456")
	f("Content-Encoding: gzip\r\nTransfer-Encoding: chunked", "Content-Encoding gzip")
	f("Content-Encoding: br\r\nContent-Length: 5", "Content-Encoding br")
	f("Content-Encoding: "+strings.Repeat("x", 5000), "Content-Encoding xxx", "…")
}

func TestGetMetricsAcceptsTheIdentityEncoding(t *testing.T) {
	c := listening(t, saying("HTTP/1.1 200 OK\r\nContent-Encoding: Identity\r\nContent-Length: 4\r\n\r\na 1\n"))
	if page, err := c.GetMetrics(t.Context(), nil); page != "a 1\n" || err != nil {
		t.Errorf("got %q and error %v", page, err)
	}
}

func TestPagesThatAreCutOff(t *testing.T) {
	f := func(response string, want MetricData) {
		t.Helper()
		page, err := listening(t, saying(response)).GetMetrics(t.Context(), nil)
		if want != "" && (page != want || err != nil) {
			t.Errorf("%q: got %q and error %v", response, page, err)
		}
		if want == "" {
			wantError(t, err, io.ErrUnexpectedEOF)
		}
	}
	// The transport marks the end of the body.
	f("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\na 1", "a 1")
	f("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na 1\n", "")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na 1\r\n0\r\n\r\n", "a 1")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n", "")
	// Only the end of the connection marks the end of the body.
	f("HTTP/1.0 200 OK\r\n\r\na 1\n", "a 1\n")
	f("HTTP/1.0 200 OK\r\n\r\na 1\na 1", "")
	f("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\na 1", "")
	f("HTTP/1.1 200 OK\r\n\r\na", "")
}

func TestSetMaxPageSizeBesideGetMetrics(t *testing.T) {
	c := serving(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "a 1\n") })
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 10 {
			c.SetMaxPageSize(1 << 20)
		}
	}()
	if _, err := c.GetMetrics(t.Context(), nil); err != nil {
		t.Error(err)
	}
	<-done
}
