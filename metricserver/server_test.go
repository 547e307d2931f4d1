package metricserver

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

func TestServes(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "a", Pod: "web", Namespace: "shop"})
	s := w.server(Options{Addresses: []string{w.path("socket")}, StartTime: time.Unix(1795338760, 500e6)})
	for range 3 { // again after it was stopped
		r := w.run(s)
		r.healthy()
		page := r.page()
		for _, want := range []string{"process_start_time_seconds 1795338760.5\n", "sandmeter_num_sandboxes_running 1\n", `namespace_name="shop",pod_name="web",sandbox="a"} 51`} {
			if !strings.Contains(page, want) {
				t.Errorf("the page lacks %s:\n%s", want, page)
			}
		}
		if _, body, err := r.get("/runsc-metrics/pid"); err != nil || body != fmt.Sprint(os.Getpid()) {
			t.Errorf("the process ID is %s, %v", body, err)
		}
		if err := r.stop(); err != nil {
			t.Errorf("stopped, it returns %v", err)
		}
	}
}

func TestOptionsCount(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "one", MetricServer: "localhost:1"})
	w.start(simulate.Spec{ID: "two", MetricServer: "%RUNTIME_ROOT%/two"})
	check := func(o Options, line string, want bool) {
		t.Helper()
		o.Addresses = []string{"127.0.0.1:0"}
		r := w.run(w.server(o))
		defer r.stop()
		if page := r.page(); strings.Contains(page, line) != want {
			t.Errorf("%+v: that %q is on the page is not %v:\n%s", o, line, want, page)
		}
	}
	check(Options{}, `sandbox="two"`, true)
	check(Options{MatchAddress: "localhost:1"}, `sandbox="one"`, true)
	check(Options{MatchAddress: "localhost:1"}, `sandbox="two"`, false)
	check(Options{MatchAddress: "%RUNTIME_ROOT%/two"}, `sandbox="two"`, true)
	check(Options{MatchAddress: "localhost:2"}, `sandbox=`, false)
	check(Options{ExporterPrefix: "gvisor_"}, "\ngvisor_fs_opens_total{", true)
	check(Options{}, "fs_read_wait", false)
	check(Options{ZeroCounters: []string{ZeroCountersAll}}, `sysno="335"`, false)
	check(Options{ZeroCounters: []string{"unimplemented_syscalls"}}, `sysno="335"`, true)
	check(Options{DropIn: true}, "\nfs_opens{", true)
	check(Options{DropIn: true, ExporterPrefix: "runsc_"}, "\nrunsc_meta_num_sandboxes_running 2 1", true) // with a timestamp
	check(Options{DropIn: true}, "runsc_", false)
	check(Options{}, "\nsandmeter_sentry_cpu_seconds_total{", true)
	check(Options{Usage: []string{UsageOff}}, "sandmeter_sentry_", false)
	check(Options{DropIn: true}, "sandmeter_sentry_", false)
}

// TestRoot: a root that cannot be read is an error at the start; one that is missing only for a drop-in.
func TestRoot(t *testing.T) {
	w := newWorld(t)
	missing, file, loop := w.path("missing"), w.path("file"), w.path("loop")
	w.must(os.WriteFile(file, nil, 0o644))
	w.must(os.Symlink("loop", loop))
	address := w.path("socket")
	refuses := func(o Options, root, want string) {
		t.Helper()
		o.Roots, o.Addresses = []string{root}, []string{address}
		_, err := w.tryRun(w.server(o))
		reason, path := new(RootError), new(fs.PathError)
		if !errors.As(err, &reason) || !errors.As(err, &path) || path.Path != root || err.Error() != "read runtime root "+root+": "+want {
			t.Errorf("root %s: %v, want %s", root, err, want)
		}
		w.nothingAt(address)
	}
	refuses(Options{DropIn: true}, missing, "no such file or directory")
	refuses(Options{DropIn: true, AllowUnknownRoot: true}, loop, "too many levels of symbolic links")
	refuses(Options{}, file, "not a directory")
	for _, o := range []Options{{DropIn: true, AllowUnknownRoot: true}, {}} {
		o.Roots, o.Addresses = []string{missing}, []string{address}
		r := w.run(w.server(o))
		if page := r.page(); !strings.Contains(page, "num_sandboxes_running 0") {
			t.Errorf("without a root the page is\n%s", page)
		}
		w.must(r.stop())
	}
}

// TestRootIsRemoved: a server whose only root is removed goes on, as gVisor's does.
func TestRootIsRemoved(t *testing.T) {
	w := newWorld(t)
	r := w.run(w.server(Options{Addresses: []string{w.path("socket")}, DropIn: true}))
	w.must(os.Rename(w.root, w.root+"x"))
	for range 2 {
		if page := r.page(); !strings.Contains(page, "sandmeter_runtime_root_missing 1") {
			t.Errorf("the page is\n%s", page)
		}
	}
	w.must(os.Rename(w.root+"x", w.root))
	w.start(simulate.Spec{ID: "a"})
	if page := r.page(); !strings.Contains(page, "num_sandboxes_running 1") {
		t.Errorf("the root is back, and the page is\n%s", page)
	}
}

// TestNoDescriptors: the server does not treat a lack of file descriptors as a lost root, and does
// not end.
func TestNoDescriptors(t *testing.T) {
	w := newWorld(t)
	r := w.run(w.server(Options{Addresses: []string{"127.0.0.1:0"}}))
	r.page() // keeps the connection open
	var limit unix.Rlimit
	w.must(unix.Getrlimit(unix.RLIMIT_NOFILE, &limit))
	w.must(unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 3, Max: limit.Max}))
	status, _, err := r.get("/metrics")
	w.must(unix.Setrlimit(unix.RLIMIT_NOFILE, &limit))
	if err != nil || status != http.StatusInternalServerError {
		t.Errorf("without descriptors: %d, %v", status, err)
	}
	r.page()
}

// TestLongHeader: the size of request headers is limited.
func TestLongHeader(t *testing.T) {
	onEachTransport(t, func(w *world, o Options) {
		r := w.run(w.server(o))
		c := r.dial()
		go io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: localhost\r\nX-Long: "+strings.Repeat("x", 1<<20)+"\r\n\r\n")
		if response, _, err := c.response(); err != nil || response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
			w.Errorf("the response is %v, %v", response, err)
		}
		r.healthy()
	})
}

// stalling starts a sandbox that replies only when the channel answer is closed. The channel asked
// is closed at the first request.
func (w *world) stalling() (asked <-chan struct{}, answer chan struct{}) {
	w.Helper()
	first, answer := make(chan struct{}), make(chan struct{})
	var once sync.Once
	w.start(simulate.Spec{ID: "stalls", Behavior: func(x *simulate.Exchange) error {
		once.Do(func() { close(first) })
		select {
		case <-answer:
		case <-time.After(ample):
		}
		return simulate.Honest(x)
	}})
	return first, answer
}

// TestStopsWithAScrapeInFlight: a scrape that finishes in time gets its page; the server cuts off a
// scrape that does not.
func TestStopsWithAScrapeInFlight(t *testing.T) {
	type result struct {
		status int
		page   string
		err    error
	}
	scrape := func(r *run) <-chan result {
		results := make(chan result, 1)
		go func() {
			var got result
			got.status, got.page, got.err = r.get("/metrics")
			results <- got
		}()
		return results
	}
	onEachTransport(t, func(w *world, o Options) { // in time
		asked, answer := w.stalling()
		s := w.server(o)
		s.limits.stop = ample // long enough on any machine
		r := w.run(s)
		results := scrape(r)
		<-asked
		r.cancel()
		r.untilClosed()
		close(answer)
		if got := <-results; got.err != nil || got.status != http.StatusOK || !strings.Contains(got.page, `runsc_fs_opens_total{`) {
			w.Errorf("%d %s, %v", got.status, got.page, got.err)
		}
		w.must(r.wait())
	})
	onEachTransport(t, func(w *world, o Options) { // too late
		asked, answer := w.stalling()
		defer close(answer)
		s := w.server(o)
		s.limits.stop = time.Millisecond // the sandbox replies after the server has ended
		r := w.run(s)
		results := scrape(r)
		<-asked
		w.must(r.stop())
		if got := <-results; got.err == nil {
			w.Errorf("%d %s", got.status, got.page)
		}
	})
}

// untilClosed waits until the server does not listen any more.
func (r *run) untilClosed() {
	r.Helper()
	testkit.Until(r.world, "the listener is closed", func() bool {
		c, err := net.Dial(r.addr.Network(), r.addr.String())
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}

// TestStopsAfterAcceptedConnections: requests are served on a connection that was accepted before the
// stop, although they are sent after it, and later ones are not.
func TestStopsAfterAcceptedConnections(t *testing.T) {
	onEachTransport(t, func(w *world, o Options) {
		w.start(simulate.Spec{ID: "sb"})
		s := w.server(o)
		s.limits.stop, s.limits.linger = ample, ample
		r := w.run(s)
		c := r.dial()
		r.page() // after this the server has accepted it
		r.cancel()
		r.untilClosed()
		w.must(c.request("/metrics"))
		response, page, err := c.response()
		w.must(err)
		if response.StatusCode != http.StatusOK || !response.Close || !strings.Contains(page, "runsc_fs_opens_total{") {
			w.Errorf("%s, the connection ends: %t\n%s", response.Status, response.Close, page)
		}
		w.must(r.wait())
	})
}

// TestStopsWithAClientThatDoesNotRead: the server closes the connection of a client that does not
// read.
func TestStopsWithAClientThatDoesNotRead(t *testing.T) {
	onEachTransport(t, func(w *world, o Options) {
		// A page larger than any socket buffer.
		fleet, err := simulate.StartFleet(w.root, 100, simulate.FleetOptions{})
		w.must(err)
		w.Cleanup(func() { fleet.Remove() })
		s := w.server(o)
		s.limits.stop = 100 * time.Millisecond
		l, err := listen(o.Addresses[0], DefaultSocketMode, "")
		w.must(err)
		limitSendBuffer(w, l)
		r := w.run(s, l)
		r.receiveBuffer = 64 << 10
		c := r.dial()
		w.must(c.request("/metrics"))
		_, err = c.read.Peek(1) // the server is sending the page
		w.must(err)
		w.must(r.stop())
		if _, _, err := c.response(); err == nil {
			w.Error("the page was sent to its end")
		}
	})
}

// limitSendBuffer limits the send buffer of the listener's connections. The default for TCP is
// several megabytes.
func limitSendBuffer(w *world, l net.Listener) {
	raw, err := l.(syscall.Conn).SyscallConn()
	w.must(err)
	w.must(raw.Control(func(fd uintptr) {
		err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, 64<<10)
	}))
	w.must(err)
}

// TestStopsWithSilentConnections: connections without a request, or with an incomplete request, do
// not delay the end of the server.
func TestStopsWithSilentConnections(t *testing.T) {
	onEachTransport(t, func(w *world, o Options) {
		s := w.server(o)
		s.limits.stop = time.Hour
		r := w.run(s)
		began := time.Now()
		for _, said := range []string{"", "GET /metrics HTT"} {
			c := r.dial()
			_, err := io.WriteString(c, said)
			w.must(err)
		}
		r.page() // after this the server has accepted them
		w.must(r.stop())
		// The server closes them after half a second. Otherwise net/http and the header timeout
		// would close them after 5 s, and the server would not end before that. The bound is ten
		// times the duration of the test, so a slow machine does not reach it.
		if took := time.Since(began); took >= headerTimeout {
			w.Errorf("it took %v", took)
		}
	})
}

// TestHalfClosedConnection: a client that closes its side of the connection after the request gets
// its page.
func TestHalfClosedConnection(t *testing.T) {
	onEachTransport(t, func(w *world, o Options) {
		w.start(simulate.Spec{ID: "sb"})
		r := w.run(w.server(o))
		c := r.dial()
		w.must(c.request("/metrics"))
		w.must(c.CloseWrite())
		if response, page, err := c.response(); err != nil || response.StatusCode != http.StatusOK || !strings.Contains(page, "runsc_fs_opens_total{") {
			w.Errorf("%v\n%s", err, page)
		}
	})
}

// TestStopsBeforeItStarted: if the context is already done, the server ends without an error.
func TestStopsBeforeItStarted(t *testing.T) {
	onEachTransport(t, func(w *world, o Options) {
		s := w.server(o)
		for range 5 {
			w.must(w.run(s).stop())
			w.nothingAt(w.path("socket"))
		}
	})
}
