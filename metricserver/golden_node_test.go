package metricserver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/clock"
	"github.com/sandmeter/sandmeter/internal/collect"
	"github.com/sandmeter/sandmeter/internal/guard"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
	"github.com/sandmeter/sandmeter/internal/web"
)

// Times that are the same in every run.
var (
	goldenCreated = time.Date(2025, 6, 1, 10, 0, 0, 250_000_000, time.UTC) // of sandboxes
	goldenStart   = time.Date(2025, 6, 1, 11, 0, 0, 500_000_000, time.UTC) // of the server
)

// A goldenNode is a node with two runtime roots, a host tree, and a server. Almost every sandbox has its
// own process. The server does not use inotify, so it notices changes only when it is scraped.
type goldenNode struct {
	*testing.T
	dir                string // prefix of all paths on pages
	kubernetes, docker string // the runtime roots
	host               *hostTree
	sandboxes          map[string]*simulate.Sandbox // by ID; the last one if several have it

	options Options
	handler *Handler
}

// newGoldenNode returns a node whose server has the default options of sandmeter serve, except for change.
func newGoldenNode(t *testing.T, mounts string, change func(*goldenNode, *Options)) *goldenNode {
	t.Helper()
	dir := testkit.TempDir(t)
	n := &goldenNode{T: t, dir: dir, kubernetes: dir + "/run/k8s", docker: dir + "/run/docker", host: newHostTree(t, mounts),
		sandboxes: make(map[string]*simulate.Sandbox)}
	for _, path := range []string{n.kubernetes, n.docker, dir + "/logs"} {
		n.must(os.MkdirAll(path, 0o755))
	}
	o := Options{
		Roots:           []string{n.kubernetes},
		Runsc:           []string{dir + "/no/runsc"}, // do not run a runsc of this machine
		Version:         "1.2.3",
		ZeroCounters:    []string{ZeroCountersAll},
		Linger:          time.Hour,
		SandboxTimeout:  ample,
		StartTime:       goldenStart,
		LogLinesDropped: func() int64 { return 0 },
	}
	change(n, &o)
	n.open(o)
	return n
}

// open does the same as Server.Handler, but uses the host tree and does not start the watch.
func (n *goldenNode) open(o Options) {
	n.Helper()
	s, err := New(o)
	n.must(err)
	n.options = s.options
	h := &Handler{guard: guard.New(clock.Real)}
	h.source, err = s.options.newSource()
	n.must(err)
	h.records, err = s.options.openRecords()
	n.must(err)
	h.watch = newWatch(nil, nil, nil, nil, s.options.Logger, h.guard)
	options := h.collectOptions(&s.options)
	options.HostRoot = n.host.dir
	h.collector, err = collect.New(options)
	n.must(err)
	h.web = web.NewHandler(h.webOptions(&s.options))
	_, h.cancel = context.WithCancel(n.Context())
	n.handler = h
	n.Cleanup(func() {
		if err := h.Close(); err != nil {
			n.Error(err)
		}
	})
}

func (n *goldenNode) must(err error) {
	n.Helper()
	if err != nil {
		n.Fatal(err)
	}
}

// as returns a handler with other page options. It shares the collector.
func (n *goldenNode) as(change func(*Options)) http.Handler {
	n.Helper()
	o := n.options
	if change != nil {
		change(&o)
	}
	n.must(o.check())
	h := web.NewHandler(n.handler.webOptions(&o))
	n.Cleanup(h.Close)
	return h
}

// scrape returns a page in the format that accept selects, as text. On a busy machine, a collection can
// run out of time, and its page is incomplete. Then scrape tries again.
func (n *goldenNode) scrape(h http.Handler, accept string) (page string) {
	n.Helper()
	testkit.Retry(n, func() error {
		page = n.scrapeOnce(h, accept)
		if cutOff.MatchString(page) {
			return errors.New("the collection ran out of time")
		}
		return nil
	})
	return page
}

// cutOff matches pages of collections that took 5 s, or had no time to measure a sandbox.
var cutOff = regexp.MustCompile(`(?m)^sandmeter_collection_duration_seconds(\{\})? ([5-9]|\d\d)|^sandmeter_sandbox_usage_absent\{.*reason="out_of_time"`)

func (n *goldenNode) scrapeOnce(h http.Handler, accept string) string {
	n.Helper()
	r := httptest.NewRequestWithContext(n.Context(), http.MethodGet, "http://localhost/metrics", nil)
	r.Header.Set("Accept", accept)
	r.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", "60")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if got := w.Header().Get("Content-Type"); w.Code != http.StatusOK || !strings.HasPrefix(got, accept) {
		n.Fatalf("status %d, %s instead of %s: %s", w.Code, got, accept, w.Body)
	}
	if accept == protobufFormat {
		return protobufText(n.T, w.Body.Bytes())
	}
	return w.Body.String()
}

// text returns a page in the text format.
func (n *goldenNode) text() string {
	n.Helper()
	return n.scrape(n.handler, textFormat)
}

// start starts a sandbox in a runtime root. The defaults are newRegistration, points(51), and modestUse.
func (n *goldenNode) start(root string, spec simulate.Spec, uses ...hostUse) *simulate.Sandbox {
	n.Helper()
	spec.StartTime = goldenCreated.Add(-4 * time.Millisecond)
	spec.Root.CreatedAt = goldenCreated
	for i := range spec.More {
		spec.More[i].CreatedAt = goldenCreated.Add(time.Duration(i+1) * time.Second)
	}
	if spec.Registration == nil {
		spec.Registration = newRegistration()
	}
	if spec.Points == nil {
		spec.Points = points(51)
	}
	spec.OwnProcess = spec.PID == 0
	s := testkit.Start(n, root, spec)
	n.sandboxes[spec.ID] = s
	if len(uses) == 0 {
		uses = []hostUse{modestUse("/" + spec.ID)}
	}
	if spec.OwnProcess {
		n.host.add(s.PID(), uses[0])
	}
	return s
}

// newRegistration returns a small registration with metrics of each kind in the real registration.
func newRegistration() *simulate.Registration {
	r := simulate.RealRegistration()
	r.Metrics = slices.DeleteFunc(r.Metrics, func(m simulate.Metric) bool {
		return !slices.Contains([]string{"fs_opens", "fs_reads", "fs_read_wait", "netstack_tcp_current_open", "weirdness"}, m.PrometheusName)
	})
	return r
}

// points returns values for newRegistration. fs_reads is zero.
func points(opens int64) []simulate.Point {
	return []simulate.Point{
		{Metric: "fs_opens", Int: opens},
		{Metric: "fs_read_wait", Int: 1_250_000_000},
		{Metric: "netstack_tcp_current_open", Int: 2},
		{Metric: "weirdness", Labels: map[string]string{"weirdness_type": "time_fallback"}, Int: 1},
	}
}

// allPoints returns a value of each metric of a registration, with the first value of each label.
func allPoints(r *simulate.Registration) []simulate.Point {
	var all []simulate.Point
	for i, m := range r.Metrics {
		p := simulate.Point{Metric: m.PrometheusName, Int: int64(1001 + i)}
		if m.Units != 0 {
			p.Int *= 1_000_001
		}
		for _, f := range m.Fields {
			if p.Labels == nil {
				p.Labels = make(map[string]string)
			}
			p.Labels[f.Name] = f.Allowed[0]
		}
		all = append(all, p)
	}
	return all
}

// signal sends a signal to a sandbox's process, and waits until the process is a zombie.
func (n *goldenNode) signal(id string, signal unix.Signal) {
	n.Helper()
	pid := n.sandboxes[id].PID()
	n.must(unix.Kill(pid, signal))
	for {
		if err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil); err != unix.EINTR {
			n.must(err)
			return
		}
	}
}

// exit ends the workload of a sandbox, with a status.
func (n *goldenNode) exit(id string, status int) {
	n.Helper()
	n.must(n.sandboxes[id].Exit(status))
}

// unregister unregisters a sandbox as a client does.
func (n *goldenNode) unregister(root, id string) {
	n.Helper()
	form := url.Values{"root": {root}, "sandbox": {id}}.Encode()
	r := httptest.NewRequestWithContext(n.Context(), http.MethodPost, "http://localhost/runsc-metrics/unregister", strings.NewReader(form))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	n.handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		n.Fatalf("unregister: status %d, %s", w.Code, w.Body)
	}
}

// settle scrapes until the page has all lines. The server closes lives, writes records, and waits for state
// files to become readable between scrapes, so the first page may be too early.
func (n *goldenNode) settle(lines ...string) {
	n.Helper()
	testkit.Retry(n, func() error {
		time.Sleep(50 * time.Millisecond) // leave the CPU to the server
		page := n.text()
		for _, line := range lines {
			if !strings.Contains(page, "\n"+line+"\n") {
				return fmt.Errorf("the page has no line %s", line)
			}
		}
		return nil
	})
}

// finalLog returns the path of a sandbox's final metrics log. Its ID may be %ID%.
func (n *goldenNode) finalLog(id string) string { return filepath.Join(n.dir, "logs", id+".log") }

// replacing returns an EditState that replaces texts in state files. The map has pairs of old and new texts
// by container ID.
func replacing(pairs map[string][]string) func(string, []byte) []byte {
	return func(container string, state []byte) []byte {
		return []byte(strings.NewReplacer(pairs[container]...).Replace(string(state)))
	}
}
