package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/runsc/runsctest"
	"github.com/sandmeter/sandmeter/internal/testkit"
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

// startSandlab starts a command of sandlab that creates its directory in tmp.
func startSandlab(t *testing.T, tmp string, args ...string) *program {
	t.Helper()
	reap() // left by other tests
	p := newRun(t, sandlab, append(args, "--runsc", realRunsc(t))...)
	p.Env = append(os.Environ(), "TMPDIR="+tmp)
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	return p
}

// end ends a command of sandlab with a signal. It fails the test if the command left anything in tmp.
func (p *program) end(t *testing.T, signal syscall.Signal, tmp string) {
	t.Helper()
	if err := p.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
	_ = p.Wait()
	p.wantExit(t, 0)
	if zombies := reap(); zombies > 0 {
		t.Errorf("left behind: %d zombies", zombies)
	}
	files, err := filepath.Glob(filepath.Join(tmp, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, left := range append(files, runsctest.Leftovers(t, filepath.Join(tmp, "sandmeter-"))...) {
		t.Errorf("left behind: %s", left)
	}
}

// TestDemo: the demo shows what real sandboxes do, and leaves nothing.
func TestDemo(t *testing.T) {
	tmp := t.TempDir()
	p := startSandlab(t, tmp, "demo", "--real", "--interval", "500ms")
	(&world{t: t}).until(func() error {
		for _, name := range []string{"idle", "busy", "pod"} {
			listed := regexp.MustCompile(`(?m)^demo-`+name+` .* running .* ok$`).FindAllString(p.out.String(), -1)
			opens := regexp.MustCompile(`(?m)^runsc_fs_opens_total\{.*"demo-`+name+`".* (\d+)$`).FindAllStringSubmatch(p.out.String(), -1)
			if len(listed) < 2 || len(opens) < 2 || opens[0][1] == opens[len(opens)-1][1] {
				return fmt.Errorf("%s is listed %d times, or its metrics do not grow:\n%s", name, len(listed), &p.out)
			}
		}
		return nil
	})
	p.end(t, syscall.SIGINT, tmp)
}

// TestNode: sandlab node runs sandboxes with cgroups of their own until it is stopped, also by the
// end of its terminal, and leaves nothing.
func TestNode(t *testing.T) {
	w, tmp := newWorld(t), t.TempDir()
	node := startSandlab(t, tmp, "node", "--sandboxes", "2")
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
	node.end(t, syscall.SIGHUP, tmp)
	if dir := hierarchyOf(ids[0], "cgroup.procs"); dir != "" {
		t.Errorf("left behind: %s", dir)
	}
}
