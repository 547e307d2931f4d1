package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/leaktest"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// programEnv is set in processes that a test starts: it makes them the program.
const programEnv = "SANDMETER_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programEnv) != "" {
		os.Unsetenv(programEnv)
		main()
	}
	leaktest.Main(m)
}

// ample is longer than any step of these tests takes.
const ample = 20 * time.Second

// A world is a directory with a runtime root, in which tests run the program.
type world struct {
	*testing.T
	dir, root, socket string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := testkit.TempDir(t)
	w := &world{t, dir, filepath.Join(dir, "root"), filepath.Join(dir, "socket")}
	w.must(os.Mkdir(w.root, 0o755))
	return w
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// path returns a path in the directory.
func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// placeholders replaces {dir}, {root} and {socket} by the paths of the world.
func (w *world) placeholders() *strings.Replacer {
	return strings.NewReplacer("{dir}", w.dir, "{root}", w.root, "{socket}", w.socket)
}

// words splits a command line at its spaces.
func (w *world) words(line string) []string {
	return strings.Fields(w.placeholders().Replace(line))
}

// start starts a sandbox.
func (w *world) start(spec simulate.Spec) *simulate.Sandbox {
	w.Helper()
	return testkit.Start(w, w.root, spec)
}

// command runs a command line to its end.
func (w *world) command(line string) (code int, out, err string) {
	return w.commandWords(w.words(line)...)
}

func (w *world) commandWords(words ...string) (code int, out, err string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), ample)
	defer cancel()
	var outs, errs testkit.Buffer
	code = run(ctx, words, cli.Stdio{Out: &outs, Err: &errs})
	return code, outs.String(), errs.String()
}

// fails fails the test unless a command line exits with a code and writes one line, the error.
func (w *world) fails(line string, wantCode int, want string) {
	w.Helper()
	code, out, err := w.command(line)
	want = "sandmeter: " + w.placeholders().Replace(want) + "\n"
	if code != wantCode || out != "" || err != want {
		w.Errorf("sandmeter %s\nexits with %d and says\n\t%s\t%s\nwant %d and\n\t%s", line, code, out, err, wantCode, want)
	}
}

// A service is a running server that listens on the world's socket.
type service struct {
	*world
	out, err testkit.Buffer
	cancel   context.CancelFunc
	ended    chan struct{}
	code     int
	client   *http.Client
}

// serve runs the command line of a server and returns when it serves.
func (w *world) serve(line string) *service {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	s := &service{world: w, cancel: cancel, ended: make(chan struct{})}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", w.socket)
	}
	s.client = &http.Client{Transport: &http.Transport{DialContext: dial}, Timeout: ample}
	go func() {
		defer close(s.ended)
		s.code = run(ctx, w.words(line), cli.Stdio{Out: &s.out, Err: &s.err})
	}()
	w.Cleanup(func() { s.stop() })
	w.until("it serves: "+line, func() bool {
		select {
		case <-s.ended:
			w.Fatalf("sandmeter %s\nexits with %d and says\n%s%s", line, s.code, s.out.String(), s.err.String())
		default:
		}
		response, err := s.client.Get("http://x/runsc-metrics/pid")
		if err == nil {
			response.Body.Close()
		}
		return err == nil
	})
	return s
}

// page returns the metrics.
func (s *service) page() string {
	s.Helper()
	response, err := s.client.Get("http://x/metrics")
	s.must(err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	s.must(err)
	if response.StatusCode != http.StatusOK {
		s.Fatalf("%s: %s", response.Status, body)
	}
	return string(body)
}

// stop stops the service as a signal does, and returns its exit code.
func (s *service) stop() int {
	s.Helper()
	s.client.CloseIdleConnections()
	s.cancel()
	select {
	case <-s.ended:
	case <-time.After(ample):
		s.Fatal("it does not end")
	}
	return s.code
}

// until waits for a condition that should soon hold.
func (w *world) until(what string, so func() bool) {
	w.Helper()
	testkit.Until(w, what, so)
}

// contains fails the test unless a text contains all parts.
func contains(t *testing.T, text string, wanted ...string) {
	t.Helper()
	for _, want := range wanted {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not in\n%s", want, text)
		}
	}
}
