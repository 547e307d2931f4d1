package e2e

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// startSilent starts a container that runs a workload, without --metric-server.
func (w *world) startSilent(id string, workload ...string) {
	w.t.Helper()
	c := w.container(id, workload...)
	c.MetricServer = ""
	w.must(w.node.Run(w.ctx(), c))
}

// withPath returns a program whose PATH has only one directory, and which finds no other runsc.
func withPath(p *program, dir string) *program {
	isPath := func(variable string) bool { return strings.HasPrefix(variable, "PATH=") }
	p.Env = append(slices.DeleteFunc(os.Environ(), isPath), "PATH="+dir)
	return p
}

// metadata writes the output of `runsc metric-metadata` to a file and returns its path.
func (w *world) metadata() string {
	w.t.Helper()
	out, err := exec.Command(realRunsc(w.t), "metric-metadata").Output()
	w.must(err)
	path := filepath.Join(w.t.TempDir(), "registration")
	w.must(os.WriteFile(path, out, 0o600))
	return path
}

// TestEverySandbox: a sandbox that was created without --metric-server has the same metrics as one
// that was created with it, and they count what it does. Its registration comes from different
// sources.
func TestEverySandbox(t *testing.T) {
	t.Parallel()
	const opened, none = 10, "/nonexistent"
	w := newDistrustedWorld(t)
	w.startSilent("silent", "touch", "10")
	s := w.startProgram(withPath(newProgram(t, w.serveArgs()...), none))
	p := w.scrape()
	p.wantFailure(t, "silent", "not_instrumented")
	if p.usageOf(t, "silent", "sandmeter_sentry_cpu_seconds_total") <= 0 {
		t.Error("the sandbox has used no CPU time")
	}
	w.until(func() error {
		if log := s.err.String(); !strings.Contains(log, "is writable by everybody") || !strings.Contains(log, "give the file to --runsc") {
			return errNot("the log says what to do: " + log)
		}
		return nil
	})
	s.signal(syscall.SIGTERM)
	s.wantEnd(soon, 0)

	check := func(w *world, path string, flags ...string) {
		t.Helper()
		s := w.startProgram(withPath(newProgram(t, w.serveArgs(flags...)...), path))
		w.untilBegun(len(w.scrape().sandboxes()))
		before := w.untilSteady("runsc_fs_opens", "sandbox", "silent")
		w.must(w.node.Kill(w.ctx(), "silent", unix.SIGUSR1))
		w.untilValue(before+opened, "runsc_fs_opens", "sandbox", "silent")
		if log := s.err.String(); strings.Contains(log, "WARN") || strings.Contains(log, "ERROR") {
			t.Errorf("%q, with PATH=%s: the log has complaints:\n%s", s.Args, path, log)
		}
		s.signal(syscall.SIGTERM)
		s.wantEnd(soon, 0)
	}
	check(w, none, "--runsc", w.metadata())
	check(w, none, "--runsc", copyRelease(t, t.TempDir()))
	trusted := newWorld(t)
	trusted.startSilent("silent", "touch", "10")
	script := filepath.Join(t.TempDir(), "runsc")
	w.must(os.WriteFile(script, []byte("#!/bin/sh\nexec "+realRunsc(t)+` "$@"`+"\n"), 0o755))
	check(trusted, none) // beside the program of the sandbox
	check(trusted, filepath.Dir(realRunsc(t)))
	check(trusted, filepath.Dir(script))
	check(trusted, none, "--runsc", script)
	w.start("instrumented", "touch", "10")
	check(w, none) // from the other sandbox
	w.startServer(w.serveArgs())
	w.until(func() error { // some families appear only after a while
		p := w.scrape()
		silent, other := slices.Sorted(maps.Keys(p.of("silent"))), slices.Sorted(maps.Keys(p.of("instrumented")))
		if len(other) == 0 || !slices.Equal(silent, other) {
			return errNot("the sandboxes have the same families: " + strings.Join(silent, " ") + ", and " + strings.Join(other, " "))
		}
		return nil
	})
}

// untilSteady scrapes until a value is the same twice, and returns it.
func (w *world) untilSteady(metric string, labels ...string) (value float64) {
	w.t.Helper()
	last := -1.0
	w.until(func() error {
		before := last
		if last, _ = w.scrape().value(metric, labels...); last != before {
			return errNot(metric + " stays the same")
		}
		return nil
	})
	return last
}
