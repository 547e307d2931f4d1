package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/internal/runsc/runsctest"
	"github.com/sandmeter/sandmeter/internal/testkit"
	"github.com/sandmeter/sandmeter/metricclient"
)

// program is a run of the sandmeter program.
type program struct {
	*exec.Cmd
	out, err testkit.Buffer
}

// newProgram returns a run that ends with the test at the latest.
func newProgram(t *testing.T, args ...string) *program {
	t.Helper()
	return newRun(t, sandmeter, args...)
}

// newRun is newProgram for one of the two programs.
func newRun(t *testing.T, path string, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	t.Cleanup(cancel)
	p := &program{Cmd: exec.CommandContext(ctx, path, args...)}
	p.Stdout, p.Stderr = &p.out, &p.err
	// A test that fails must not leave sandboxes behind either.
	p.Cancel = func() error { return p.Process.Signal(syscall.SIGTERM) }
	p.WaitDelay = time.Minute
	return p
}

// exit runs the program to its end and fails the test if it exits with another code.
func (p *program) exit(t *testing.T, want int) {
	t.Helper()
	err := p.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	p.wantExit(t, want)
}

func (p *program) wantExit(t *testing.T, want int) {
	t.Helper()
	if got := p.ProcessState.ExitCode(); got != want {
		t.Errorf("%q ends with %d, want %d; it said:\n%s%s", p.Args, got, want, &p.out, &p.err)
	}
}

// lastLine returns the last line of an output.
func lastLine(o *testkit.Buffer) string {
	lines := strings.Split(strings.TrimSuffix(o.String(), "\n"), "\n")
	return lines[len(lines)-1]
}

// A server is a run of the program that goes on until it is stopped.
type server struct {
	*program
	t     *testing.T
	ended chan struct{} // closed when the process has ended
}

// startServer starts the program as a server. It ends with the test at the latest.
func startServer(t *testing.T, args []string) *server {
	t.Helper()
	return startProgram(t, newProgram(t, args...))
}

// startProgram starts a server. It ends with the test at the latest.
func startProgram(t *testing.T, p *program) *server {
	t.Helper()
	s := &server{p, t, make(chan struct{})}
	s.Cancel = func() error { return nil } // on a busy machine the server of a test may have to outlive the time limit of other programs
	s.WaitDelay = 4 * time.Minute
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(s.ended)
		_ = s.Wait() // ProcessState has the result
	}()
	t.Cleanup(func() {
		s.signal(syscall.SIGCONT)
		s.signal(syscall.SIGTERM)
		<-s.ended
	})
	return s
}

func (s *server) hasEnded() bool {
	select {
	case <-s.ended:
		return true
	default:
		return false
	}
}

// signal sends a signal, unless the process has ended.
func (s *server) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := s.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		s.t.Error(err)
	}
}

// wantEnd fails the test unless the server ends within a time, with an exit code. A signal that
// kills it is code -1.
func (s *server) wantEnd(within time.Duration, code int) {
	s.t.Helper()
	select {
	case <-s.ended:
		s.wantExit(s.t, code)
	case <-time.After(within):
		s.t.Errorf("%q has not ended after %v; it said:\n%s", s.Args, within, &s.err)
		s.signal(syscall.SIGTERM)
		<-s.ended
	}
}

func TestListShowsRealSandboxes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	pod := runsc.Pod{Sandbox: "b-pod", Name: "web\n\x1b[31m", Namespace: "shop"}
	w.must(w.node.Create(w.ctx(), w.container("a-created", "idle")))
	for _, id := range []string{pod.Sandbox, "app"} {
		c := w.container(id, "idle")
		c.Annotations = pod.Annotations(id)
		w.must(w.node.Run(w.ctx(), c))
	}
	w.start("c-paused", "idle")
	w.must(w.node.Pause(w.ctx(), "c-paused"))
	w.start("d-killed", "idle")
	pid, err := w.node.Pid("d-killed")
	w.must(err)
	w.must(syscall.Kill(pid, syscall.SIGKILL))

	want := "a-created created 1, b-pod running 2, c-paused paused 1, d-killed stopped 1"
	w.until(func() error {
		p := newProgram(t, "list", "--root", w.root, "--json")
		p.exit(t, 0)
		var sandboxes []struct {
			ID         string `json:"id"`
			State      string `json:"state"`
			Containers int    `json:"containers"`
		}
		w.must(json.Unmarshal([]byte(p.out.String()), &sandboxes))
		var got []string
		for _, s := range sandboxes {
			got = append(got, fmt.Sprint(s.ID, " ", s.State, " ", s.Containers))
		}
		if all := strings.Join(got, ", "); all != want {
			return fmt.Errorf("list shows %s; want %s", all, want)
		}
		return nil
	})
	p := newProgram(t, "list", "--root", w.root)
	p.exit(t, 0)
	if table := p.out.String(); strings.Contains(table, "\x1b") || strings.Count(table, "\n") != 5 {
		t.Errorf("the table has more than four lines of text below its head:\n%q", table)
	}
}

func TestDemo(t *testing.T) {
	realRunsc(t)
	tmp := t.TempDir()
	p := demo(t, tmp, "--interval", "500ms")
	w := &world{t: t}
	w.must(p.Start())
	w.until(func() error {
		out := p.out.String()
		for _, name := range []string{"idle", "busy", "pod"} {
			rows := regexp.MustCompile(`(?m)^demo-`+name+` +\S+ +running +(\d+) +\S+ +(\d+) +\S+$`).FindAllStringSubmatch(out, -1)
			if len(rows) < 4 {
				return fmt.Errorf("%s is shown %d times:\n%s", name, len(rows), out)
			}
			first, last := rows[0], rows[len(rows)-1]
			if number(t, last[1]) <= number(t, first[1]) || number(t, last[2]) <= number(t, first[2]) {
				return fmt.Errorf("%s does not grow:\n%s", name, out)
			}
		}
		return nil
	})
	w.must(p.Process.Signal(syscall.SIGINT))
	_ = p.Wait()
	p.wantExit(t, 0)
	out := p.out.String()
	for _, want := range []string{"curl --unix-socket " + tmp, "SANDBOX", "demo-idle", "demo-busy", "demo-pod", "shop/web-"} {
		if !strings.Contains(out, want) {
			t.Errorf("the demo does not show %q:\n%s", want, out)
		}
	}
	wantNothingLeft(t, tmp)
}

func number(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// demo returns a run of the demo that creates its directory in tmp.
func demo(t *testing.T, tmp string, flags ...string) *program {
	t.Helper()
	return demoWith(t, tmp, append([]string{"--real", "--runsc", realRunsc(t)}, flags...)...)
}

func demoWith(t *testing.T, tmp string, flags ...string) *program {
	t.Helper()
	reap() // left by other tests
	p := newRun(t, sandlab, append([]string{"demo"}, flags...)...)
	p.Env = append(os.Environ(), "TMPDIR="+tmp)
	return p
}

// wantNothingLeft fails the test if a demo left anything in a directory.
func wantNothingLeft(t *testing.T, tmp string) {
	t.Helper()
	if zombies := reap(); zombies > 0 {
		t.Errorf("left behind: %d zombies", zombies)
	}
	files, err := filepath.Glob(filepath.Join(tmp, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, left := range files {
		t.Errorf("left behind: %s", left)
	}
	for _, left := range runsctest.Leftovers(t, filepath.Join(tmp, "sandmeter-")) {
		t.Errorf("left behind: %s", left)
	}
}

// Ctrl-C at any time ends the demo without an error, and nothing is left.
func TestDemoInterrupted(t *testing.T) {
	realRunsc(t)
	w := &world{t: t}
	for delay := time.Duration(0); delay <= 1200*time.Millisecond; delay += 300 * time.Millisecond {
		tmp := t.TempDir()
		p := demo(t, tmp)
		w.must(p.Start())
		// Before its first message the demo does nothing.
		w.until(func() error {
			if p.err.String() == "" {
				return errors.New("the demo says nothing")
			}
			return nil
		})
		time.Sleep(delay)
		if err := p.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if err := p.Wait(); err != nil {
			t.Errorf("interrupted after %v: %v", delay, err)
		}
		p.wantExit(t, 0)
		wantNothingLeft(t, tmp)
	}
}

func TestDemoWhoseTerminalIsClosed(t *testing.T) {
	realRunsc(t)
	tmp := t.TempDir()
	p := demo(t, tmp)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	demoServer(t, tmp)
	if err := p.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait()
	p.wantExit(t, 0)
	wantNothingLeft(t, tmp)
}

// The same as `sandlab demo | head`.
func TestDemoWhoseReaderGoesAway(t *testing.T) {
	realRunsc(t)
	tmp := t.TempDir()
	p := demo(t, tmp, "--interval", "100ms")
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close()
	p.Stdout = writer
	reader.Close()
	p.exit(t, 1)
	wantNothingLeft(t, tmp)
}

// TestNode: sandlab node runs sandboxes with cgroups of their own until it is stopped, also by the
// end of its terminal, and leaves nothing.
func TestNode(t *testing.T) {
	for _, end := range []syscall.Signal{syscall.SIGINT, syscall.SIGHUP} {
		w, tmp := newWorld(t), t.TempDir()
		reap() // left by other tests
		node := newRun(t, sandlab, "node", "--sandboxes", "2", "--runsc", realRunsc(t))
		node.Env = append(os.Environ(), "TMPDIR="+tmp)
		w.must(node.Start())
		w.until(func() error {
			_, err := fmt.Sscanf(node.out.String(), "Running 2 sandboxes in %s until", &w.root)
			return err
		})
		e := w.endpoint("HTTP", nil)
		server := e.startServer(e.serveArgs())
		p := e.scrape()
		ids := p.labels("runsc_meta_sandbox_creation_time_seconds", "sandbox")
		if measured := p.labels("sandmeter_sandbox_cpu_seconds_total", "sandbox"); len(ids) != 2 || !slices.Equal(ids, measured) {
			t.Fatalf("%q have metrics, and %q were measured, want two sandboxes", ids, measured)
		}
		server.signal(syscall.SIGTERM)
		server.wantEnd(ample, 0)
		w.must(node.Process.Signal(end))
		if err := node.Wait(); err != nil {
			t.Errorf("after %v: %v, and it says %s", end, err, &node.err)
		}
		wantNothingLeft(t, tmp)
		if dir := hierarchyOf(ids[0], "cgroup.procs"); dir != "" {
			t.Errorf("left behind: %s", dir)
		}
	}
}

// A runsc that fails at the third sandbox, and a server that ends during the demo.
func TestDemoFailsHalfWay(t *testing.T) {
	real := realRunsc(t)
	tmp, dir := t.TempDir(), t.TempDir()
	broken := filepath.Join(dir, "runsc")
	script := "#!/bin/sh\ncase \"$*\" in *demo-pod) case \"$*\" in *' run '*) echo the disk is full >&2; exit 9;; esac;; esac\nexec " + real + " \"$@\"\n"
	if err := os.WriteFile(broken, []byte(script), 0o755); err != nil {
		t.Fatal(err)
	}
	p := demoWith(t, tmp, "--runsc", broken)
	p.exit(t, 1)
	if said := p.err.String(); !strings.Contains(said, "sandlab: runsc run demo-pod: exit status 9: the disk is full") {
		t.Errorf("the demo says:\n%s", said)
	}
	wantNothingLeft(t, tmp)
}

func TestDemoWhoseServerIsKilled(t *testing.T) {
	realRunsc(t)
	tmp := t.TempDir()
	p := demo(t, tmp, "--interval", "100ms")
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	pid := demoServer(t, tmp)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait()
	p.wantExit(t, 1)
	wantNothingLeft(t, tmp)
}

// demoServer waits for the server of a demo in tmp and returns its PID.
func demoServer(t *testing.T, tmp string) int {
	t.Helper()
	w := &world{t: t}
	var pid int
	w.until(func() error {
		sockets, err := filepath.Glob(filepath.Join(tmp, "sandmeter-*", "metrics.sock"))
		if err != nil || len(sockets) != 1 {
			return errors.New("the demo's server does not listen")
		}
		client := metricclient.NewMetricClient(sockets[0], filepath.Join(filepath.Dir(sockets[0]), "root"))
		defer client.Close()
		if err := client.HealthCheck(t.Context()); err != nil {
			return err
		}
		w.client = client
		pid = w.serverPid()
		return nil
	})
	return pid
}

func TestDemoSaysWhyNot(t *testing.T) {
	f := func(code int, want string, prepare func(*program), args ...string) {
		t.Helper()
		tmp := t.TempDir()
		for _, dir := range []string{filepath.Dir(tmp), tmp} { // the demo may run as another user
			if err := os.Chmod(dir, 0o777); err != nil {
				t.Fatal(err)
			}
		}
		p := demoWith(t, tmp, args...)
		prepare(p)
		p.exit(t, code)
		if said := p.err.String(); !strings.Contains(said, want) {
			t.Errorf("demo %q does not say %q but:\n%s", args, want, said)
		}
		wantNothingLeft(t, tmp)
	}
	asItIs := func(*program) {}
	f(1, "/nonexistent/runsc", asItIs, "--real", "--runsc", "/nonexistent/runsc")
	f(1, "PATH", func(p *program) { p.Env = []string{"PATH=/nonexistent", "TMPDIR=/nonexistent"} }, "--real")
	f(1, "--privileged", asItIs, "--real", "--runsc", "/bin/false")
	f(1, "; if /bin/false is not runsc, give the path of runsc with --runsc\n", asItIs, "--real", "--runsc", "/bin/false")
	f(0, "--privileged", asItIs, "--runsc", "/bin/false", "--for", "1s")
	f(2, "--interval", asItIs, "--interval", "0s")
	if os.Geteuid() == 0 {
		asNobody := func(p *program) {
			p.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		}
		f(1, "run as root", asNobody, "--real", "--runsc", "/bin/false")
		f(0, "run as root", asNobody, "--runsc", "/bin/false", "--for", "1s")
	}
}
