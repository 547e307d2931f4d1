package e2e

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"

	"github.com/sandmeter/sandmeter/internal/runsc/runsctest"
)

// A protocol is a format that a peer negotiates.
type protocol struct {
	name   string // as in scrape_protocols of Prometheus
	format string // beginning of the Content-Type
	starts bool   // whether the page has start times of counters
}

// The protocols of the server.
var (
	protobuf    = protocol{"PrometheusProto", "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily;", true}
	openMetrics = protocol{"OpenMetricsText1.0.0", "application/openmetrics-text; version=1.0.0;", false}
	text1       = protocol{"PrometheusText1.0.0", "text/plain; version=1.0.0;", false}
	text0       = protocol{"PrometheusText0.0.4", "text/plain; version=0.0.4;", false}
)

// A peerProgram is a program that scrapes the server and has the HTTP API of Prometheus.
type peerProgram struct {
	name      string
	path      string // in the checkout
	flags     func(addr, config, data string) []string
	protocols []protocol // one scrape configuration for each
	// choosable reports that a scrape configuration may choose the protocol. Other programs have one
	// protocol, and choose it by their flags.
	choosable bool
	zeros     bool   // whether a start time is stored as a sample 0
	interval  string // between scrapes; empty: 1s
}

// peerPrograms are the peers of the tests. Debian's programs are years older than the server.
var peerPrograms = []peerProgram{
	{name: "Prometheus", path: "bin/prometheus", flags: prometheusFlags("--enable-feature=created-timestamp-zero-ingestion"),
		protocols: []protocol{protobuf, openMetrics, text1, text0}, choosable: true, zeros: true},
	{name: "Debian's Prometheus", path: "bin/debian/prometheus", flags: prometheusFlags(),
		protocols: []protocol{openMetrics}},
	{name: "Debian's Prometheus with native histograms", path: "bin/debian/prometheus", flags: prometheusFlags("--enable-feature=native-histograms"),
		protocols: []protocol{protobuf}},
	{name: "Debian's VictoriaMetrics", path: "bin/debian/victoria-metrics", flags: victoriaMetricsFlags,
		protocols: []protocol{text0}},
}

func prometheusFlags(extra ...string) func(addr, config, data string) []string {
	return func(addr, config, data string) []string {
		return append([]string{"--web.listen-address=" + addr, "--config.file=" + config, "--storage.tsdb.path=" + data}, extra...)
	}
}

func victoriaMetricsFlags(addr, config, data string) []string {
	return []string{"-httpListenAddr=" + addr, "-promscrape.config=" + config, "-storageDataPath=" + data,
		"-search.latencyOffset=0s"} // by default, queries do not see the last 30 s
}

// findPeer returns the path of a program of bin/, or skips the test.
func findPeer(t *testing.T, path string) string {
	t.Helper()
	found, err := filepath.Abs(filepath.Join("..", path))
	if err == nil {
		_, err = os.Stat(found)
	}
	if err != nil {
		runsctest.Unavailable(t, fmt.Errorf("%w: run make peers", err))
	}
	return found
}

// A job is a scrape configuration of a program: one protocol, and one server with its transport.
type job struct {
	protocol
	endpoint *endpoint
	program  string
}

func (j job) String() string { return j.name + " over " + j.endpoint.transport }

// filter returns a filter that matches every metric and names the job in the server's log.
func (j job) filter() string { return "|" + j.program + ", " + j.String() }

// scrapeConfig returns the scrape configuration, for a program that can choose protocols or not.
func (j job) scrapeConfig(choosable bool) map[string]any {
	conf := map[string]any{
		"job_name":       j.String(),
		"params":         map[string]any{"runsc-sandbox-metrics-filter": []string{j.filter()}},
		"static_configs": []any{map[string]any{"targets": []string{j.endpoint.addr}}},
	}
	maps.Copy(conf, j.endpoint.access)
	if choosable {
		conf["scrape_protocols"] = []string{j.name}
	}
	return conf
}

// A peer is a running peerProgram.
type peer struct {
	peerProgram
	*server
	jobs []job
	addr string
}

// startPeer starts a program that scrapes servers. It ends with the test.
func (w *world) startPeer(program peerProgram, path string, endpoints []*endpoint) peer {
	w.t.Helper()
	p := peer{peerProgram: program}
	for _, protocol := range program.protocols {
		for _, e := range endpoints {
			p.jobs = append(p.jobs, job{protocol, e, program.name})
		}
	}
	data := w.t.TempDir()
	config := filepath.Join(data, "scrape.yml")
	w.must(os.WriteFile(config, p.config(w.t), 0o600))
	for !p.begin(w, path, config, filepath.Join(data, "data")) {
	}
	return p
}

// config returns the configuration file: JSON, which is YAML too.
func (p peer) config(t *testing.T) []byte {
	t.Helper()
	var configs []any
	interval := cmp.Or(p.interval, "1s")
	for _, j := range p.jobs {
		configs = append(configs, j.scrapeConfig(p.choosable))
	}
	text, err := json.Marshal(map[string]any{
		"global":         map[string]any{"scrape_interval": interval, "scrape_timeout": interval},
		"scrape_configs": configs,
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// begin starts the program and waits until it replies. It reports false if another process took the
// port before.
func (p *peer) begin(w *world, path, config, data string) (began bool) {
	w.t.Helper()
	p.addr = freePort(w.t)
	p.server = startProgram(w.t, newRun(w.t, path, p.flags(p.addr, config, data)...))
	w.until(func() error {
		if p.hasEnded() {
			return nil
		}
		_, err := p.instant("up")
		return err
	})
	if p.hasEnded() && !strings.Contains(p.err.String(), "address already in use") {
		w.t.Fatalf("%s has ended and said:\n%s", p.name, &p.err)
	}
	return !p.hasEnded()
}

// instant returns the current values of a query.
func (p peer) instant(query string) (model.Vector, error) {
	var vector model.Vector
	err := p.query(query, &vector)
	return vector, err
}

// query sends a PromQL query about now. The type of result is that of the query's.
func (p peer) query(query string, result any) error {
	return p.queryAt(query, "", result)
}

// queryAt is query about a time.
func (p peer) queryAt(query, at string, result any) error {
	var reply struct {
		Data struct{ Result json.RawMessage }
	}
	if err := getJSON("http://"+p.addr+"/api/v1/query?time="+at+"&query="+url.QueryEscape(query), &reply); err != nil {
		return err
	}
	return json.Unmarshal(reply.Data.Result, result)
}

// getJSON reads a document over HTTP.
func getJSON(url string, into any) error {
	body, err := getBody(url)
	if err != nil {
		return err
	}
	return json.Unmarshal(body, into)
}

// getBody reads the body of a response with status 200.
func getBody(url string) ([]byte, error) {
	client := &http.Client{Timeout: ample, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", url, response.Status, body)
	}
	return body, err
}

// byJob returns the values of a query that has at most one per job.
func (p peer) byJob(query string) (map[string]float64, error) {
	vector, err := p.instant(query)
	values := map[string]float64{}
	for _, s := range vector {
		values[string(s.Metric["job"])] = float64(s.Value)
	}
	if len(values) != len(vector) {
		err = cmp.Or(err, fmt.Errorf("%s: more than one value per job: %v", query, vector))
	}
	return values, err
}

// has returns an error unless a query has one value in each job, the given one.
func (p peer) has(want float64, query string) error {
	values, err := p.byJob(query)
	for _, j := range p.jobs {
		if got, ok := values[j.String()]; !ok || got != want {
			err = errors.Join(err, fmt.Errorf("%s, %s: %s is %v (present: %t), not %v", p.name, j, query, got, ok, want))
		}
	}
	return err
}

// hasNone returns an error unless a query has no value.
func (p peer) hasNone(query string) error {
	vector, err := p.instant(query)
	if len(vector) > 0 {
		err = cmp.Or(err, fmt.Errorf("%s: %s is there: %v", p.name, query, vector))
	}
	return err
}

// ofJob returns a selector of a family's series in a job.
func (j job) of(family, labels string) string {
	return fmt.Sprintf("%s{job=%q,%s}", family, j.String(), labels)
}

// ownLabels are the labels that a peer adds, node in the configurations of docs/shipping.md.
var ownLabels = []model.LabelName{model.MetricNameLabel, model.JobLabel, model.InstanceLabel, "node"}

// series returns the current values of a job's series of sandboxes. Series are written as by
// seriesText.
func (p peer) series(j job) (map[string]float64, error) {
	vector, err := p.instant(j.of("", `sandbox!=""`))
	values := map[string]float64{}
	for _, s := range vector {
		labels := map[string]string{}
		for name, value := range s.Metric {
			if !slices.Contains(ownLabels, name) {
				labels[string(name)] = string(value)
			}
		}
		values[seriesText(string(s.Metric[model.MetricNameLabel]), labels)] = float64(s.Value)
	}
	return values, err
}

// samples returns the stored samples of the only series of a selector, the oldest first.
func (p peer) samples(selector string) ([]model.SamplePair, error) {
	var matrix model.Matrix
	if err := p.query(selector+"[1h]", &matrix); err != nil {
		return nil, err
	}
	if len(matrix) != 1 {
		return nil, fmt.Errorf("%s: %s is %d series", p.name, selector, len(matrix))
	}
	return matrix[0].Values, nil
}
