package e2e

import (
	"compress/gzip"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// TestEveryCombination: for every combination of format and compression, and both namings, a page of one
// snapshot of real sandboxes has exactly the series, with the values, of the JSON API.
func TestEveryCombination(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("sb-idle", "idle")
	w.start("sb-busy", "touch", "20")
	for naming, zeros := range map[string]string{"runsc": "all", "prometheus": "off"} {
		c := combination{w.endpoint("HTTP", nil), naming}
		c.startServer([]string{"serve", "--root", w.root, "--web.listen-address", c.addr, "--metric-naming", naming,
			"--zero-counters", zeros, "--max-age=1h"}) // serves one snapshot
		w.until(c.check) // the API may show newer results than a page
	}
}

// A combination is a server with a naming.
type combination struct {
	*endpoint
	naming string
}

// check compares all formats and compressions with the JSON API.
func (c combination) check() error {
	want := c.want()
	if len(want) < 10 {
		return fmt.Errorf("the API has %d series", len(want))
	}
	for _, accept := range []string{acceptText, acceptText1, acceptOpenMetrics, acceptProtobuf} {
		for _, encoding := range []string{"", "gzip", "zstd"} {
			contentType, page := c.page(accept, encoding)
			if got := c.reported(page); !maps.Equal(got, want) {
				return fmt.Errorf("%s, %q: the page has\n%v\nthe API has\n%v", contentType, encoding, got, want)
			}
		}
	}
	return nil
}

// page reads a page in a format and a compression.
func (c combination) page(accept, encoding string) (contentType string, page scraped) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.ctx(), http.MethodGet, "http://"+c.addr+"/metrics", nil)
	c.must(err)
	request.Header.Set("Accept", accept)
	request.Header.Set("Accept-Encoding", encoding)
	r, err := (&http.Transport{DisableCompression: true, DisableKeepAlives: true}).RoundTrip(request)
	c.must(err)
	defer r.Body.Close()
	contentType = r.Header.Get("Content-Type")
	if got := r.Header.Get("Content-Encoding"); got != encoding || r.StatusCode != http.StatusOK {
		c.t.Fatalf("%s: status %s, Content-Encoding %q, want %q", contentType, r.Status, got, encoding)
	}
	var body io.Reader = r.Body
	switch encoding {
	case "gzip":
		body, err = gzip.NewReader(body)
	case "zstd":
		body, err = zstd.NewReader(body)
	}
	c.must(err)
	text, err := io.ReadAll(body)
	c.must(err)
	page, err = readScraped(text, contentType)
	if err != nil {
		c.t.Fatalf("%s, %s: %v\n%q", contentType, encoding, err, text)
	}
	return contentType, page
}

// want returns the values of all series that sandboxes report, from the JSON API, under their names
// on the page.
func (c combination) want() map[string]float64 {
	c.t.Helper()
	type metric struct {
		Name, Type string
		Unit       *string
		Labels     map[string]string
		Value      int64
	}
	var list struct {
		Sandboxes []struct{ ID, Iteration string }
	}
	c.document("/api/v1/sandboxes", &list)
	want := map[string]float64{}
	for _, s := range list.Sandboxes {
		var detail struct{ Metrics []metric }
		c.document("/api/v1/sandboxes/"+s.ID, &detail)
		for _, m := range detail.Metrics {
			labels := maps.Clone(m.Labels)
			labels["sandbox"], labels["iteration"] = s.ID, s.Iteration
			value := float64(m.Value)
			if c.naming == "prometheus" {
				if m.Unit != nil {
					m.Name, value = m.Name+"_seconds", value/1e9
				}
				if m.Type == "counter" {
					m.Name += "_total"
				}
			}
			want[seriesText(m.Name, labels)] = value
		}
	}
	return want
}

// reported returns the values of the series that sandboxes report.
func (c combination) reported(page scraped) map[string]float64 {
	got := maps.Clone(page.values)
	maps.DeleteFunc(got, func(series string, _ float64) bool {
		return slices.ContainsFunc([]string{"runsc_meta_", "sandmeter_", "process_", "go_"}, func(prefix string) bool { return strings.HasPrefix(series, prefix) })
	})
	return got
}
