package web

import (
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/expo"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

const (
	acceptOpenMetrics = "Accept: application/openmetrics-text"
	acceptProtobuf    = "Accept: application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited"
)

// TestFormats checks each format in each encoding that a client can request. The headers name both.
func TestFormats(t *testing.T) {
	w := newWorld(t, func(_ *collect.Options, o *Options) {
		o.Formats = []expo.Format{expo.Text{}, expo.OpenMetrics{}, expo.Protobuf{}}
	})
	w.start(simulate.Spec{ID: "a"})
	for accept, want := range map[string]struct{ contentType, part string }{
		"Accept: */*":                      {"text/plain; version=0.0.4; charset=utf-8", "# TYPE runsc_meta_num_sandboxes_total counter\n"},
		"Accept: text/plain;version=1.0.0": {"text/plain; version=1.0.0; charset=utf-8", "# TYPE runsc_meta_num_sandboxes_total counter\n"},
		acceptOpenMetrics:                  {"application/openmetrics-text; version=1.0.0; charset=utf-8", "# TYPE runsc_meta_num_sandboxes counter\n"},
		acceptProtobuf + ";escaping=dots": {
			"application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited; escaping=dots",
			"\x12\x31Counter of sandboxes that have ever been started.\x18\x00"},
	} {
		for _, encoding := range []string{"", "gzip", "zstd"} {
			response := w.get("/metrics", accept, "Accept-Encoding: "+encoding)
			page := decoded(t, response)
			header := response.Header()
			if response.Code != http.StatusOK || header.Get("Content-Type") != want.contentType || header.Get("Content-Encoding") != encoding {
				t.Errorf("%s, encoding %q: status %d, %v", accept, encoding, response.Code, header)
			}
			if header.Get("Vary") != "Accept, Accept-Encoding" || header.Get("Content-Length") != strconv.Itoa(response.Body.Len()) {
				t.Errorf("%s, encoding %q: %v", accept, encoding, header)
			}
			if !strings.Contains(page, want.part) {
				t.Errorf("%s, encoding %q: the page is\n%q", accept, encoding, page)
			}
		}
	}
}

// TestFormatsNotOffered checks that a client that accepts only other formats gets text, and that
// all of several Accept headers count.
func TestFormatsNotOffered(t *testing.T) {
	w := newWorld(t, func(_ *collect.Options, o *Options) { o.Formats = []expo.Format{expo.Protobuf{}} })
	check := func(want string, headers ...string) {
		t.Helper()
		if got := w.get("/metrics", headers...).Header().Get("Content-Type"); !strings.HasPrefix(got, want) {
			t.Errorf("%q get %s, want %s", headers, got, want)
		}
	}
	check("text/plain; version=0.0.4;")
	check("text/plain; version=0.0.4;", acceptOpenMetrics)
	check("text/plain; version=0.0.4;", "Accept: text/plain;version=1.0.0")
	check("application/vnd.google.protobuf;", acceptOpenMetrics, acceptProtobuf)
}

// TestRefusedIsNotCompressed checks that errors are plain text.
func TestRefusedIsNotCompressed(t *testing.T) {
	w := newWorld(t, nil)
	response := w.get("/metrics?runsc-sandbox-metrics-filter=(", acceptProtobuf, "Accept-Encoding: gzip")
	if response.Code != http.StatusBadRequest || response.Header().Get("Content-Encoding") != "" || response.Header().Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("%d %v", response.Code, response.Header())
	}
}

// decoded returns the decoded page of a response.
func decoded(t *testing.T, response *httptest.ResponseRecorder) string {
	t.Helper()
	var r io.Reader = bytes.NewReader(response.Body.Bytes())
	var err error
	switch response.Header().Get("Content-Encoding") {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "zstd":
		r, err = zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
	}
	if err != nil {
		t.Fatal(err)
	}
	page, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(page)
}
