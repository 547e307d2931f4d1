package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

// TestEveryCombination: for every combination of naming, timestamps, zero counters, credentials,
// format and compression, a page of one snapshot of real sandboxes has exactly the series, with the
// values, of the JSON API.
func TestEveryCombination(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("sb-idle", "idle")
	w.start("sb-busy", "touch", "20")
	for _, naming := range []string{"runsc", "prometheus"} {
		for _, zeros := range []string{"all", "off"} {
			for _, secured := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, zero counters %s, secured %t", naming, zeros, secured), func(t *testing.T) {
					c := combination{t: t, naming: naming}
					c.serve(w, secured, "--metric-naming", naming, "--zero-counters", zeros, oneSnapshot)
					c.check()
				})
			}
		}
	}
}

// A combination is a server with its settings, and a client with the right credentials.
type combination struct {
	t      *testing.T
	naming string
	url    string
	client *http.Client
	user   string
}

// serve starts a server for the sandboxes of a world, on an address of its own.
func (c *combination) serve(w *world, secured bool, flags ...string) {
	c.t.Helper()
	dir := testkit.TempDir(c.t)
	socket := filepath.Join(dir, "socket")
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}
	transport := &http.Transport{DisableCompression: true, DialContext: dial}
	c.client, c.url = &http.Client{Transport: transport}, "http://localhost"
	c.t.Cleanup(c.client.CloseIdleConnections)
	if secured {
		authority := testkit.NewAuthority(c.t)
		server := authority.Issue(c.t, "server", time.Now().Add(time.Hour))
		file := filepath.Join(dir, "web.yml")
		text := fmt.Sprintf("tls_server_config: {cert_file: %s, key_file: %s}\nbasic_auth_users: {me: %s}\n", server.CertFile, server.KeyFile, testkit.PasswordHash)
		w.must(os.WriteFile(file, []byte(text), 0o600))
		pem, err := os.ReadFile(authority.File)
		w.must(err)
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(pem)
		transport.TLSClientConfig = &tls.Config{RootCAs: pool}
		c.url, c.user = "https://localhost", "me"
		flags = append(flags, "--web.config.file", file)
	}
	p := newProgram(c.t, append([]string{"serve", "--root", w.root, "--web.listen-address", socket}, flags...)...)
	startProgram(c.t, p)
	testkit.Retry(c.t, func() error {
		_, err := c.try(c.user, "/-/ready", "", "")
		return err
	})
}

// try gets a path as a user.
func (c *combination) try(user, path, accept, encoding string) (response, error) {
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, c.url+path, nil)
	if err != nil {
		return response{}, err
	}
	request.Header.Set("Accept", accept)
	request.Header.Set("Accept-Encoding", encoding)
	if user != "" {
		request.SetBasicAuth(user, testkit.Password)
	}
	r, err := c.client.Do(request)
	if err != nil {
		return response{}, err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err == nil && r.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: status %s", path, r.Status)
	}
	return response{r.Header.Get("Content-Type"), r.Header.Get("Content-Encoding"), body}, err
}

// get gets a path with the right credentials, and decompresses it.
func (c *combination) get(path, accept, encoding string) response {
	c.t.Helper()
	r, err := c.try(c.user, path, accept, encoding)
	if err != nil {
		c.t.Fatal(err)
	}
	if r.encoding != encoding {
		c.t.Fatalf("%s with Accept-Encoding %q has Content-Encoding %q", path, encoding, r.encoding)
	}
	var body io.Reader = bytes.NewReader(r.page)
	switch encoding {
	case "gzip":
		body, err = gzip.NewReader(body)
	case "zstd":
		body, err = zstd.NewReader(body)
	}
	if err == nil {
		r.page, err = io.ReadAll(body)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return r
}

// check compares all formats and compressions with the JSON API.
func (c *combination) check() {
	c.t.Helper()
	want := c.want()
	if len(want) < 10 {
		c.t.Fatalf("the API has %d series", len(want))
	}
	for _, accept := range []string{acceptText, acceptText1, acceptOpenMetrics, acceptProtobuf} {
		for _, encoding := range []string{"", "gzip", "zstd"} {
			r := c.get("/metrics", accept, encoding)
			page, err := readScraped(r.page, r.contentType)
			if err != nil {
				c.t.Fatalf("%s, %s: %v", r.contentType, encoding, err)
			}
			if got := c.reported(page); !maps.Equal(got, want) {
				c.t.Errorf("%s, %q: the page has\n%v\nthe API has\n%v", r.contentType, encoding, got, want)
			}
		}
	}
	if c.user != "" {
		for _, user := range []string{"", "other"} {
			if _, err := c.try(user, "/metrics", acceptText, ""); err == nil || !strings.HasSuffix(err.Error(), "401 Unauthorized") {
				c.t.Errorf("as %q: %v", user, err)
			}
		}
	}
}

// want returns the values of all series that sandboxes report, from the JSON API, under their names
// on the page.
func (c *combination) want() map[string]float64 {
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
	c.decode("/api/v1/sandboxes", &list)
	want := map[string]float64{}
	for _, s := range list.Sandboxes {
		var detail struct{ Metrics []metric }
		c.decode("/api/v1/sandboxes/"+s.ID, &detail)
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

func (c *combination) decode(path string, document any) {
	c.t.Helper()
	if err := json.Unmarshal(c.get(path, "", "").page, document); err != nil {
		c.t.Fatal(err)
	}
}

// reported returns the values of the series that sandboxes report, and checks the times.
func (c *combination) reported(page scraped) map[string]float64 {
	got := map[string]float64{}
	for _, series := range slices.Sorted(maps.Keys(page.values)) {
		own := slices.ContainsFunc([]string{"runsc_meta_", "sandmeter_", "process_", "go_"}, func(prefix string) bool { return strings.HasPrefix(series, prefix) })
		if page.times[series] != 0 {
			c.t.Errorf("%s has a time", series)
		}
		if !own {
			got[series] = page.values[series]
		}
	}
	return got
}
