package metricclient

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// self returns settings with this program as the server.
func self(t testing.TB) *config.Config {
	t.Helper()
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return &config.Config{ServerPath: path}
}

// newClient returns a client for a Unix socket and a root in a new directory. The server that it
// starts ends with the test.
func newClient(t testing.TB) *MetricClient {
	t.Helper()
	c := NewMetricClient(config.RuntimeRoot+"/s", testkit.TempDir(t))
	cleanUp(t, c)
	return c
}

func cleanUp(t testing.TB, c *MetricClient) {
	t.Helper()
	t.Cleanup(func() {
		c.Close()
		if server := c.server.Load(); server != nil {
			server.kill()
			c.server.Store(nil)
		}
	})
}

// spawn starts a server with args, which can set its mode. It fails the test if the server does not
// become healthy.
func spawn(t testing.TB, c *MetricClient, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel() // ends the start, not the server
	if err := c.SpawnServer(ctx, self(t), args...); err != nil {
		t.Fatal(err)
	}
}

func shutdown(t testing.TB, c *MetricClient) {
	t.Helper()
	if err := c.ShutdownServer(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// infoOf requests the processInfo of the fake server.
func infoOf(t testing.TB, c *MetricClient) (p processInfo) {
	t.Helper()
	page, err := c.GetMetrics(t.Context(), map[string]string{"": selfPath})
	if err == nil {
		err = json.Unmarshal([]byte(page), &p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// wantError checks that an error wraps a sentinel (nil: no error is expected), contains all texts
// and is a single line.
func wantError(t testing.TB, err, is error, texts ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("no error")
	}
	if is != nil && !errors.Is(err, is) {
		t.Errorf("error without %q in its chain: %v", is, err)
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error without %q: %v", text, err)
		}
	}
	if strings.ContainsAny(err.Error(), "\n\r\x1b") {
		t.Errorf("error that is not one clean line: %q", err)
	}
}

func TestSpawnServerUntilShutdown(t *testing.T) {
	t.Run("unix", func(t *testing.T) { testLife(t, newClient(t)) })
	t.Run("tcp", func(t *testing.T) {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		listener.Close() // the port stays free for now
		c := NewMetricClient(listener.Addr().String(), testkit.TempDir(t))
		cleanUp(t, c)
		testLife(t, c)
	})
}

// testLife starts, uses and stops the client's server twice.
func testLife(t *testing.T, c *MetricClient) {
	wantError(t, c.ShutdownServer(t.Context()), ErrNotRunning)
	for range 2 {
		wantError(t, c.HealthCheck(t.Context()), ErrNotListening)
		spawn(t, c)
		if err := c.HealthCheck(t.Context()); err != nil {
			t.Error(err)
		}
		data, err := c.GetMetrics(t.Context(), nil)
		if err != nil {
			t.Error(err)
		}
		if opens, _, err := data.GetPrometheusInteger("runsc_fs_opens", nil); opens != 42 || err != nil {
			t.Errorf("got %d, %v", opens, err)
		}
		wantError(t, c.SpawnServer(t.Context(), self(t)), ErrAlreadyRunning)
		shutdown(t, c)
		wantError(t, c.HealthCheck(t.Context()), ErrNotListening)
		wantError(t, c.ShutdownServer(t.Context()), ErrNotRunning)
	}
}

func TestSpawnServerPassesTheCommandLine(t *testing.T) {
	c := newClient(t)
	conf := self(t)
	conf.RootDir, conf.MetricServer, conf.Debug, conf.LogFormat = "/not/this", ":1", true, "json"
	before := *conf
	if err := c.SpawnServer(t.Context(), conf, "-mode=good", "a b", ""); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"--debug=true", "--log-format=json", "--metric-server=" + c.rootDir + "/s", "--root=" + c.rootDir,
		"metric-server", "-mode=good", "a b", "",
	}
	if got := infoOf(t, c).Args; !slices.Equal(got, want) {
		t.Errorf("the server was started with %q, want %q", got, want)
	}
	if *conf != before {
		t.Errorf("the caller's settings changed from %+v to %+v", before, *conf)
	}
	shutdown(t, c)
}

func TestSpawnServerPassesNoDescriptors(t *testing.T) {
	c := newClient(t)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	var mine []string // names of both ends in the list of file descriptors
	for _, end := range []*os.File{r, w} {
		if name, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", end.Fd())); err == nil {
			mine = append(mine, name)
		}
	}
	spawn(t, c)
	p := infoOf(t, c)
	if dir, _ := os.Getwd(); p.Dir != dir {
		t.Errorf("it runs in %q, want %q", p.Dir, dir)
	}
	if err := syscall.Kill(-c.server.Load().pid(), 0); err != nil {
		t.Errorf("it leads no process group, so no session: %v", err)
	}
	if len(p.Files) == 0 {
		t.Skip("this system does not list descriptors")
	}
	if p.Files["0"] != os.DevNull || p.Files["1"] != os.DevNull || !strings.HasPrefix(p.Files["2"], "pipe:") {
		t.Errorf("its standard files are %q", p.Files)
	}
	for fd, file := range p.Files {
		if fd != "2" && slices.Contains(mine, file) {
			t.Errorf("it inherited %s as descriptor %s", file, fd)
		}
	}
	shutdown(t, c)
}

func TestSpawnServerReportsAServerThatEnds(t *testing.T) {
	c := newClient(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err := c.SpawnServer(ctx, self(t), "-mode="+modeExits)
	wantError(t, err, nil, "ended: exit status 3", `a line / cannot \x1b[31mlisten / the address is in use`)
	if exitErr := new(exec.ExitError); !errors.As(err, &exitErr) {
		t.Errorf("no exec.ExitError in the chain: %v", err)
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("it looks like a timeout: %v", err)
	}
	wantError(t, c.ShutdownServer(ctx), ErrNotRunning)
	spawn(t, c)
	shutdown(t, c)
}

func TestSpawnServerKillsAServerThatIsNotHealthyInTime(t *testing.T) {
	c := newClient(t)
	ctx, cancel := context.WithCancel(t.Context())
	spawned := make(chan error, 1)
	go func() { spawned <- c.SpawnServer(ctx, self(t), "-mode="+modeSilent) }()
	testkit.Until(t, "the server process is started", func() bool {
		server := c.server.Load()
		return server != nil && len(server.stderr.lastLines(1)) > 0
	})
	cancel()
	wantError(t, <-spawned, context.Canceled, "is not healthy", "the last health check: ", "its standard error ends: starting")
	wantError(t, c.ShutdownServer(t.Context()), ErrNotRunning)
	if err := childrenLeft(); err != nil {
		t.Errorf("it left %v", err)
	}
}

// afterExchange makes the client call end after reading each response.
func afterExchange(c *MetricClient, end func()) {
	c.http.Transport = &exchanges{c.http.Transport.(*http.Transport), end}
}

type exchanges struct {
	*http.Transport
	end func()
}

func (e *exchanges) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := e.Transport.RoundTrip(r)
	if err == nil {
		response.Body = body{response.Body, e.end}
	}
	return response, err
}

type body struct {
	io.ReadCloser
	end func()
}

func (b body) Close() error {
	defer b.end()
	return b.ReadCloser.Close()
}

func TestSpawnServerRefusesATakenAddress(t *testing.T) {
	first := newClient(t)
	spawn(t, first)
	second := NewMetricClient(first.addr, first.rootDir)
	wantError(t, second.SpawnServer(t.Context(), self(t)), ErrAlreadyRunning)
	wantError(t, second.ShutdownServer(t.Context()), ErrNotRunning)
	second = NewMetricClient(first.addr, "/another/root")
	err := second.SpawnServer(t.Context(), self(t))
	wantError(t, err, nil, first.rootDir, "/another/root")
	if wrong := new(WrongRootError); !errors.As(err, &wrong) || wrong.Got != first.rootDir || wrong.Want != "/another/root" {
		t.Errorf("no proper WrongRootError: %v", err)
	}
	shutdown(t, first)

	file := newClient(t)
	if err := os.WriteFile(file.addr, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	wantError(t, file.SpawnServer(t.Context(), self(t)), ErrNotMetricServer)
}

func TestSpawnServerDetectsOtherServers(t *testing.T) {
	err := newClient(t).SpawnServer(t.Context(), self(t), "-mode="+modeOtherRoot)
	if wantError(t, err, nil, "/somewhere/else"); !errors.As(err, new(*WrongRootError)) {
		t.Errorf("no WrongRootError: %v", err)
	}
	c := newClient(t)
	wantError(t, c.SpawnServer(t.Context(), self(t), "-mode="+modeWrapper), ErrAlreadyRunning, "process", "exec")
	// The wrapper's child has ended too, or is about to end.
	testkit.Until(t, "the wrapper's server has ended", func() bool { return errors.Is(c.HealthCheck(t.Context()), ErrNotListening) })
}

func TestCheckServesNeedsAPID(t *testing.T) {
	for _, body := range []string{"", "12 more"} {
		c := serving(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == healthPath {
				io.WriteString(w, healthy)
			} else {
				io.WriteString(w, body)
			}
		})
		if err := c.checkServes(t.Context(), &process{}); err == nil || isOtherServer(err) {
			t.Errorf("%q: %v", body, err)
		}
	}
}

func TestSpawnServerFindsTheProgram(t *testing.T) {
	me := self(t).ServerPath
	fallback := filepath.Join(filepath.Dir(me), programName)
	pathDir, otherDir := t.TempDir(), t.TempDir()
	onPath, elsewhere := filepath.Join(pathDir, programName), filepath.Join(otherDir, "server")
	for _, link := range []string{onPath, elsewhere} {
		if err := os.Symlink(me, link); err != nil {
			t.Fatal(err)
		}
	}
	f := func(name, given, env, path, want string) {
		t.Helper()
		t.Setenv(programEnv, env)
		t.Setenv("PATH", path)
		if got, err := findServer(given); got != want || err != nil {
			t.Errorf("%s: got %q and error %v, want %q", name, got, err, want)
		}
	}
	f("ServerPath comes first", elsewhere, onPath, pathDir, elsewhere)
	f("ServerPath without a slash is looked up", programName, elsewhere, pathDir, onPath)
	f("then the environment", "", elsewhere, pathDir, elsewhere)
	f("then PATH", "", "", pathDir, onPath)
	if err := os.Symlink(me, fallback); err != nil {
		t.Fatal(err)
	}
	f("but first beside this program", "", "", pathDir, fallback)
	if err := os.Remove(fallback); err != nil {
		t.Fatal(err)
	}

	fails := func(given, env, path string, is error, texts ...string) {
		t.Helper()
		t.Setenv(programEnv, env)
		t.Setenv("PATH", path)
		_, err := findServer(given)
		wantError(t, err, is, texts...)
	}
	missing := filepath.Join(otherDir, "missing")
	fails(missing, elsewhere, pathDir, os.ErrNotExist, "Config.ServerPath", missing)
	fails("", missing, pathDir, os.ErrNotExist, "$SANDMETER_SERVER", missing)
	fails(otherDir, "", pathDir, nil, "Config.ServerPath", otherDir)
	fails("", "", otherDir, nil, "Config.ServerPath", "$SANDMETER_SERVER", fallback, otherDir)
}

func TestSpawnServerReportsAProgramThatCannotRun(t *testing.T) {
	c := newClient(t)
	path := filepath.Join(t.TempDir(), "server")
	if err := os.WriteFile(path, []byte("\x7fELF no more"), 0o700); err != nil {
		t.Fatal(err)
	}
	wantError(t, c.SpawnServer(t.Context(), &config.Config{ServerPath: path}), syscall.ENOEXEC, path)
	t.Setenv(programEnv, "")
	t.Setenv("PATH", "")
	wantError(t, c.SpawnServer(t.Context(), nil), nil, "install it")
	wantError(t, c.ShutdownServer(t.Context()), ErrNotRunning)
}

func TestShutdownServerCanBeContinued(t *testing.T) {
	c := newClient(t)
	spawn(t, c, "-mode="+modeIgnoresTERM)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	wantError(t, c.ShutdownServer(ctx), context.DeadlineExceeded, "has not ended")
	wantError(t, c.SpawnServer(t.Context(), self(t)), ErrAlreadyRunning)

	ended := make(chan error, 1)
	go func() { ended <- c.ShutdownServer(t.Context()) }()
	if err := c.server.Load().cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	wantError(t, c.ShutdownServer(t.Context()), ErrNotRunning)
}

func TestShutdownServerOfAServerThatHasEnded(t *testing.T) {
	t.Run("it crashed", func(t *testing.T) {
		c := newClient(t)
		crash := func() {
			t.Helper()
			spawn(t, c)
			server := c.server.Load()
			_ = server.cmd.Process.Kill()
			testkit.Until(t, "the server process has ended", func() bool { return !server.running() })
			if err := os.Remove(c.addr); err != nil { // unlike a real server, the next fake one would not
				t.Fatal(err)
			}
		}
		crash()
		crash() // it does not keep the client from starting the next one
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // and a context that is over does not matter
		if err := c.ShutdownServer(ctx); err != nil {
			t.Error(err)
		}
		wantError(t, c.ShutdownServer(t.Context()), ErrNotRunning)
	})
	t.Run("another process reaped it", func(t *testing.T) {
		signal.Ignore(syscall.SIGCHLD) // the kernel reaps children itself, like a child reaper would
		defer func() {
			signal.Notify(make(chan os.Signal, 1), syscall.SIGCHLD) // Reset alone leaves the signal ignored
			signal.Reset(syscall.SIGCHLD)
		}()
		c := newClient(t)
		spawn(t, c)
		shutdown(t, c)
		err := c.SpawnServer(t.Context(), self(t), "-mode="+modeExits)
		wantError(t, err, nil, "another process reaped it", "the address is in use")
	})
}

func TestShutdownServerWhileSpawning(t *testing.T) {
	c := newClient(t)
	spawned := make(chan error, 1)
	go func() { spawned <- c.SpawnServer(t.Context(), self(t), "-mode="+modeSilent) }()
	testkit.Until(t, "the server process is started", func() bool { return c.server.Load() != nil })
	wantError(t, c.SpawnServer(t.Context(), self(t)), ErrAlreadyRunning)
	shutdown(t, c)
	wantError(t, <-spawned, nil, "ended: signal: terminated")
}

func TestConcurrentUse(t *testing.T) {
	c := newClient(t)
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			var err error
			switch i % 4 {
			case 0:
				err = c.SpawnServer(t.Context(), self(t))
			case 1:
				err = c.ShutdownServer(t.Context())
			case 2:
				_, err = c.GetMetrics(t.Context(), nil)
			case 3:
				err = c.HealthCheck(t.Context())
				c.Close()
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("error of several lines: %v", err)
			}
		})
	}
	wg.Wait()
}

// TestSpawnWaitsForAServerThatIsShuttingDown covers an address that is about to be free.
func TestSpawnWaitsForAServerThatIsShuttingDown(t *testing.T) {
	ending := func(c *MetricClient) *http.Server {
		listener, err := net.Listen("unix", c.addr)
		if err != nil {
			t.Fatal(err)
		}
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "server is shutting down", http.StatusServiceUnavailable)
		})}
		go server.Serve(listener)
		t.Cleanup(func() { server.Close() })
		return server
	}
	c := newClient(t)
	server := ending(c)
	responses := 0
	afterExchange(c, func() {
		if responses++; responses == 2 { // the client has retried
			server.Close()
		}
	})
	if err := c.SpawnServer(t.Context(), self(t)); err != nil {
		t.Error(err)
	}

	c = newClient(t)
	ending(c)
	ctx, cancel := context.WithCancel(t.Context())
	afterExchange(c, cancel)
	err := c.SpawnServer(ctx, self(t))
	wantError(t, err, context.Canceled)
	wantError(t, err, ErrShuttingDown, "the address is not free")
}

// TestConcurrentSpawns: of servers that start at the same address, one wins.
func TestConcurrentSpawns(t *testing.T) {
	first := newClient(t)
	clients := []*MetricClient{first, NewMetricClient(first.addr, first.rootDir), NewMetricClient(first.addr, first.rootDir)}
	errs := make(chan error, len(clients))
	for _, c := range clients {
		cleanUp(t, c)
		go func() { errs <- c.SpawnServer(t.Context(), self(t)) }()
	}
	lost := 0
	for range clients {
		err := <-errs
		if err == nil {
			continue
		}
		lost++
		// After the winner binds the address and before it listens, a dial cannot detect it.
		if !errors.Is(err, ErrAlreadyRunning) && !strings.Contains(err.Error(), "address already in use") {
			t.Errorf("one that lost says %v", err)
		}
	}
	if err := first.HealthCheck(t.Context()); err != nil || lost != len(clients)-1 {
		t.Errorf("%d of %d lost; the address: %v", lost, len(clients), err)
	}
}

func TestTailKeepsTheLastLines(t *testing.T) {
	f := func(want []string, writes ...string) {
		t.Helper()
		var end tail
		for _, text := range writes {
			if n, err := io.WriteString(&end, text); n != len(text) || err != nil {
				t.Fatal(n, err)
			}
		}
		if got := end.lastLines(2); !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	f(nil, "", "\n \r\n")
	f([]string{"b", "c"}, "a\nb\n", "\nc\r\n")
	f([]string{"x"}, strings.Repeat("y", tailBytes), "\nx\n") // the beginning of the first line was dropped
	f([]string{"b", "a b"}, fmt.Sprint(strings.Repeat("aaa\n", tailBytes), "b\n"), "a", " b")
	long := strings.Repeat("z", 3*tailBytes)
	f([]string{long[:maxExcerpt] + "…"}, long)
}

// TestSpawnedServerLetsClientsRegister: unless the environment of this program has the variable.
func TestSpawnedServerLetsClientsRegister(t *testing.T) {
	name, _, _ := strings.Cut(enableRegistering, "=")
	check := func(want string) {
		t.Helper()
		p, err := startProcess("/bin/sh", []string{"-c", "echo value:$" + name + ". >&2"})
		if err != nil {
			t.Fatal(err)
		}
		<-p.ended.Done()
		if err := p.exitError(); !strings.Contains(err.Error(), "value:"+want+".") {
			t.Errorf("want %q: %v", want, err)
		}
	}
	check("true")
	t.Setenv(name, "false")
	check("false")
	t.Setenv(name, "")
	check("")
}
