package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/internal/testkit"
	"github.com/sandmeter/sandmeter/metricclient"
)

// An endpoint is a server, and how peers reach it.
type endpoint struct {
	*world    // with the address and client of this server
	transport string
	access    map[string]any // lines of scrape configurations: TLS and credentials
	server    *server
}

// endpoints starts a server with plain HTTP, and one with TLS and basic authentication. They end
// with the test.
func (w *world) endpoints() []*endpoint {
	w.t.Helper()
	plain := w.endpoint("HTTP", nil)
	plain.begin()

	authority := testkit.NewAuthority(w.t)
	certificate := authority.Issue(w.t, "server", time.Now().Add(time.Hour))
	file := filepath.Join(w.t.TempDir(), "web.yml")
	w.must(os.WriteFile(file, fmt.Appendf(nil, "tls_server_config: {cert_file: %s, key_file: %s}\nbasic_auth_users: {peer: %s}\n",
		certificate.CertFile, certificate.KeyFile, testkit.PasswordHash), 0o600))
	secured := w.endpoint("TLS", map[string]any{
		"scheme":     "https",
		"tls_config": map[string]any{"ca_file": authority.File},
		"basic_auth": map[string]any{"username": "peer", "password": testkit.Password},
	}, metricclient.WithTLS(&tls.Config{RootCAs: authority.Pool}), metricclient.WithBasicAuth("peer", testkit.Password))
	secured.begin("--web.config.file", file)
	return []*endpoint{plain, secured}
}

func (w *world) endpoint(transport string, access map[string]any, opts ...metricclient.Option) *endpoint {
	w.t.Helper()
	at := *w
	at.addr = freePort(w.t)
	at.client = metricclient.NewMetricClientWithOptions(at.addr, at.root, opts...)
	w.t.Cleanup(at.client.Close)
	return &endpoint{&at, transport, access, nil}
}

// defaultArgs returns the command line of serve with the default names and lines of its page.
func (w *world) defaultArgs(flags ...string) []string {
	return append([]string{"serve", "--root", w.root, "--web.listen-address", w.addr}, flags...)
}

// begin starts the server. Its log has the format of each scrape.
func (e *endpoint) begin(flags ...string) {
	e.t.Helper()
	e.server = e.startServer(e.defaultArgs(append(flags,
		"--sandbox-timeout=200ms", "--linger=0", "--log.level=debug", "--log.format=json")...))
}

// formats returns the formats of the successful scrapes with a filter, sorted.
func (e *endpoint) formats(filter string) []string {
	e.t.Helper()
	formats := map[string]bool{}
	log := e.server.err.String()
	for line := range strings.Lines(log[:strings.LastIndexByte(log, '\n')+1]) {
		var record struct {
			Msg, Filter, Format string
			Status              int
		}
		e.must(json.Unmarshal([]byte(line), &record))
		if record.Msg == "Scrape" && record.Filter == filter && record.Status == http.StatusOK {
			formats[record.Format] = true
		}
	}
	return slices.Sorted(maps.Keys(formats))
}

// emptyLabel matches a label without a value in the text of a series, with a comma.
var emptyLabel = regexp.MustCompile(`\w+="",|,?\w+=""`)

// values returns the page's values by series of sandboxes, as a peer stores them: without empty
// labels.
func (e *endpoint) values() map[string]float64 {
	e.t.Helper()
	data, err := e.client.GetMetrics(e.ctx(), nil)
	e.must(err)
	page, err := readScraped([]byte(data), "text/plain; version=0.0.4")
	e.must(err)
	values := map[string]float64{}
	for series, value := range page.values {
		if sandboxOf(series) == "" {
			continue // about the server, which changes all the time
		}
		values[emptyLabel.ReplaceAllString(series, "")] = value
	}
	return values
}

// opens returns the page's number of opens of a sandbox.
func (e *endpoint) opens(sandbox string) float64 {
	e.t.Helper()
	for series, value := range e.values() {
		if strings.HasPrefix(series, opensFamily+"{") && sandboxOf(series) == sandbox {
			return value
		}
	}
	return 0
}

// untilWorked waits until a sandbox has opened a number of files more than one without work, and
// returns its number.
func (e *endpoint) untilWorked(worked, rested string, opens float64) (total float64) {
	e.t.Helper()
	e.until(func() error {
		without := e.opens(rested)
		if total = e.opens(worked); without == 0 || total != without+opens {
			return fmt.Errorf("%v file opens without work, %v with %v of them", without, total, opens)
		}
		return nil
	})
	return total
}

// document reads a document of the JSON API.
func (e *endpoint) document(path string, into any) {
	e.t.Helper()
	e.must(getJSON("http://"+e.addr+path, into))
}

// sandboxes returns the IDs of the sandboxes in the JSON API, sorted.
func (e *endpoint) sandboxes() (ids []string) {
	e.t.Helper()
	var list struct{ Sandboxes []struct{ ID string } }
	e.document("/api/v1/sandboxes", &list)
	for _, s := range list.Sandboxes {
		ids = append(ids, s.ID)
	}
	return ids
}

// created returns when a sandbox was created, as the JSON API says.
func (e *endpoint) created(id string) time.Time {
	e.t.Helper()
	var detail struct {
		CreatedAt time.Time `json:"created_at"`
	}
	e.document("/api/v1/sandboxes/"+id, &detail)
	return detail.CreatedAt
}
