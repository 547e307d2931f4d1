package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/simulate/liars"
	"github.com/sandmeter/sandmeter/metricclient"
)

// played is a world without runsc: its sandboxes are played by the test itself, and only the server is real.
type played struct {
	*world
	root   string
	server *server
}

// newPlayed returns a world without sandboxes and without a server. Everything in it ends with the test.
func newPlayed(t *testing.T) *played {
	t.Helper()
	dir, err := os.MkdirTemp("", "sm") // short: the paths of sockets are limited
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &played{world: &world{t: t}, root: filepath.Join(dir, "root")}
	p.must(os.Mkdir(p.root, 0o755))
	p.setAddr(filepath.Join(dir, "metrics.sock"))
	return p
}

// setAddr chooses another address for the servers to come.
func (p *played) setAddr(addr string) {
	p.addr = addr
	p.client = metricclient.NewMetricClient(addr, p.root)
	p.t.Cleanup(p.client.Close)
}

// play starts a sandbox.
func (p *played) play(spec simulate.Spec) *simulate.Sandbox {
	p.t.Helper()
	s, err := simulate.Start(p.root, spec)
	p.must(err)
	p.t.Cleanup(func() { _ = s.Remove() }) // the test may have done so
	return s
}

// playFleet starts n sandboxes.
func (p *played) playFleet(n int, opts simulate.FleetOptions) *simulate.Fleet {
	p.t.Helper()
	f, err := simulate.StartFleet(p.root, n, opts)
	p.must(err)
	p.t.Cleanup(func() { _ = f.Remove() })
	return f
}

// liar starts a liar.
func (p *played) liar(l liars.Liar, spec simulate.Spec) *simulate.Sandbox {
	p.t.Helper()
	s, err := l.Start(p.root, spec)
	p.must(err)
	p.t.Cleanup(func() { _ = s.Remove() })
	return s
}

// serveArgs is the command line of a server for people.
func (p *played) serveArgs(flags ...string) []string {
	return append([]string{"serve", "--root", p.root, "--web.listen-address", p.addr}, flags...)
}

// serve starts a server that ends with the test.
func (p *played) serve(flags ...string) *server {
	p.t.Helper()
	return p.start(p.serveArgs(flags...))
}

// serveInPlace is serve with the command line of gVisor's own server.
func (p *played) serveInPlace() *server {
	p.t.Helper()
	return p.start([]string{"--root=" + p.root, "--metric-server=" + p.addr, "metric-server"})
}

// start starts a server and returns when it is healthy. On a busy machine it may live for longer than other programs.
func (p *played) start(args []string) *server {
	p.t.Helper()
	return p.startProgram(newProgram(p.t, args...))
}

// startLogging is start for a server with a standard error of the test's.
func (p *played) startLogging(args []string, stderr *os.File) *server {
	p.t.Helper()
	run := newProgram(p.t, args...)
	run.Stderr = stderr
	return p.startProgram(run)
}

// startProgram is start for a run that was prepared.
func (p *played) startProgram(run *program) *server {
	p.t.Helper()
	s := &server{run, p.t, make(chan struct{})}
	s.Cancel = func() error { return nil }
	s.WaitDelay = 4 * time.Minute
	p.must(s.Start())
	go func() {
		defer close(s.ended)
		_ = s.Wait() // ProcessState has what there is to say
	}()
	p.t.Cleanup(func() {
		s.signal(syscall.SIGTERM)
		select {
		case <-s.ended:
		case <-time.After(patience):
			p.t.Errorf("%q does not end", s.Args)
			s.signal(syscall.SIGKILL)
			<-s.ended
		}
	})
	p.server = s
	p.until(func() error {
		if s.hasEnded() {
			p.t.Fatalf("%q has ended and said:\n%s", s.Args, &s.err)
		}
		return p.client.HealthCheck(p.ctx())
	})
	return s
}

// timedPage is a page and how long it took.
type timedPage struct {
	data metricclient.MetricData
	took time.Duration
	err  error
}

// tryWithin scrapes with the time that a scraper gives the server. One that is late is an error.
func (p *played) tryWithin(ctx context.Context, limit time.Duration) timedPage {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	begin := time.Now()
	data, err := p.client.GetMetrics(ctx, nil)
	return timedPage{data, time.Since(begin), err}
}

// within is tryWithin, and ends the test if there is an error.
func (p *played) within(limit time.Duration) (metricclient.MetricData, time.Duration) {
	p.t.Helper()
	page := p.tryWithin(p.t.Context(), limit)
	if page.err != nil {
		p.t.Fatalf("after %v of %v: %v", page.took, limit, page.err)
	}
	return page.data, page.took
}

// get asks the server for a path and returns the whole answer.
func (p *played) get(path string) (*http.Response, string) {
	p.t.Helper()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", p.addr)
		},
	}
	request, err := http.NewRequestWithContext(p.ctx(), http.MethodGet, "http://server"+path, nil)
	p.must(err)
	response, err := transport.RoundTrip(request)
	p.must(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	p.must(err)
	return response, string(body)
}

// descriptors returns how many descriptors the server has open.
func (p *played) descriptors() int {
	p.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.server.Process.Pid))
	p.must(err)
	return len(entries)
}

// wantDescriptors fails the test if the server goes on having more descriptors open. Connections of the last scrape may be closing.
func (p *played) wantDescriptors(atMost int) {
	p.t.Helper()
	p.until(func() error {
		if now := p.descriptors(); now > atMost {
			return fmt.Errorf("the server has %d open descriptors, and should have %d", now, atMost)
		}
		return nil
	})
}

// memory returns a line of the server's /proc/PID/status in bytes: VmRSS is what it has, VmHWM the most it ever had.
func (p *played) memory(line string) int {
	p.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.server.Process.Pid))
	p.must(err)
	_, rest, _ := bytes.Cut(status, []byte(line+":"))
	value, _, _ := strings.Cut(string(rest), " kB")
	kB, err := strconv.Atoi(strings.TrimSpace(value))
	p.must(err)
	return kB << 10
}

// wantFailure fails the test if the page gives another reason for which a sandbox has no metrics; "" is none.
func (p page) wantFailure(t *testing.T, id, reason string) {
	t.Helper()
	got := ""
	for _, s := range p.find("runsc_meta_sandbox_failure", "sandbox", id) {
		got = s.labels["reason"]
	}
	if has := len(p.find(alwaysThere, "sandbox", id)) > 0; got != reason || has == (reason != "") {
		t.Errorf("sandbox %s has metrics: %t; reason %q, want %q", id, has, got, reason)
	}
}
