package metricclient

import (
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"
)

func TestReadBody(t *testing.T) {
	check := func(body io.Reader, limit int64, want string, is error, texts ...string) {
		t.Helper()
		got, err := readBody(body, limit)
		if got != want || err != nil && is == nil && texts == nil {
			t.Errorf("limit %d: got %d bytes and error %v", limit, len(got), err)
		}
		if is != nil || texts != nil {
			wantError(t, err, is, texts...)
		}
	}
	long := strings.Repeat("0123456789", 1<<20)
	check(strings.NewReader(""), 0, "", nil)
	check(strings.NewReader("abc"), 3, "abc", nil)
	check(strings.NewReader("abc"), 1<<63-1, "abc", nil)
	check(iotest.HalfReader(strings.NewReader(long)), int64(len(long)), long, nil)
	check(strings.NewReader("abcd"), 3, "", nil, "longer than 3 bytes")
	check(strings.NewReader("a"), 0, "", nil, "longer than 0 bytes")
	check(io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(io.ErrUnexpectedEOF)), 3, "ab", io.ErrUnexpectedEOF)
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
	f(0) // means the default
	f(int64(len(page))-1, "the reply is longer than 7 bytes")

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
	f("Content-Encoding: gzip\r\nTransfer-Encoding: chunked", "Content-Encoding gzip")
	f("Content-Encoding: "+strings.Repeat("x", 5000), "Content-Encoding xxx", "…")
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
	f("HTTP/1.1 200 OK\r\nContent-Encoding: Identity\r\nContent-Length: 3\r\n\r\na 1", "a 1")
	f("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na 1\n", "")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\na 1\r\n0\r\n\r\n", "a 1")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\na 1\n\r\n", "")
	// Only the end of the connection marks the end of the body.
	f("HTTP/1.0 200 OK\r\n\r\na 1\n", "a 1\n")
	f("HTTP/1.0 200 OK\r\n\r\na 1\na 1", "")
}
