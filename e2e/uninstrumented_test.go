package e2e

import (
	"bytes"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/registration"
	"github.com/sandmeter/sandmeter/internal/state"
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
	const opened = 10
	check := func(name string, newWorld func(*testing.T) *world, start func(w *world) *program) {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.startSilent("silent", "touch", "10")
			s := w.startProgram(start(w))
			begun := func(id string) {
				w.until(func() error {
					if len(w.scrape().find("runsc_unimplemented_syscalls", "sandbox", id)) == 0 {
						return errNot("the workload has begun")
					}
					return nil
				})
			}
			begun("silent")
			before := w.untilSteady("runsc_fs_opens", "sandbox", "silent")
			w.must(w.node.Kill(w.ctx(), "silent", unix.SIGUSR1))
			w.untilValue(before+opened, "runsc_fs_opens", "sandbox", "silent")
			w.scrape().wantNone(t, "runsc_meta_sandbox_failure", "sandbox", "silent")

			w.start("instrumented", "touch", "10")
			begun("instrumented")
			w.untilValue(w.untilSteady("runsc_fs_opens", "sandbox", "instrumented")+opened, "runsc_fs_opens", "sandbox", "silent")
			w.until(func() error { // some families appear only after a while
				p := w.scrape()
				silent, other := slices.Sorted(maps.Keys(p.of("silent"))), slices.Sorted(maps.Keys(p.of("instrumented")))
				if !slices.Equal(silent, other) {
					return errNot("the sandboxes have the same families: " + strings.Join(silent, " ") + ", and " + strings.Join(other, " "))
				}
				return nil
			})
			if log := s.err.String(); strings.Contains(log, "WARN") || strings.Contains(log, "ERROR") {
				t.Errorf("the log has complaints:\n%s", log)
			}
		})
	}
	const none = "/nonexistent"
	check("runsc in PATH", newWorld, func(w *world) *program {
		return withPath(newProgram(t, w.serveArgs()...), filepath.Dir(realRunsc(t)))
	})
	check("a named runsc", newWorld, func(w *world) *program {
		return withPath(newProgram(t, w.serveArgs("--runsc", realRunsc(t))...), none)
	})
	check("a file", newDistrustedWorld, func(w *world) *program {
		return withPath(newProgram(t, w.serveArgs("--runsc", w.metadata())...), none)
	})
	check("another sandbox", newDistrustedWorld, func(w *world) *program {
		w.start("lender", "idle")
		return withPath(newProgram(t, w.serveArgs()...), none)
	})
	check("a copy of the release", newDistrustedWorld, func(w *world) *program {
		return withPath(newProgram(t, w.serveArgs("--runsc", copyRelease(t, t.TempDir()))...), none)
	})
	check("a release outside of PATH", newWorld, func(w *world) *program {
		return withPath(newProgram(t, w.serveArgs()...), none)
	})
	script := func(w *world) string {
		path := filepath.Join(w.t.TempDir(), "runsc")
		w.must(os.WriteFile(path, []byte("#!/bin/sh\nexec "+realRunsc(t)+` "$@"`+"\n"), 0o755))
		return path
	}
	check("a script in PATH", newWorld, func(w *world) *program {
		return withPath(newProgram(t, w.serveArgs()...), filepath.Dir(script(w)))
	})
	check("a named script", newWorld, func(w *world) *program {
		return withPath(newProgram(t, w.serveArgs("--runsc", script(w))...), none)
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

// TestSandboxWithoutRegistration: without any registration, what the state file says and what the
// host measures is served, and the log says what to do.
func TestSandboxWithoutRegistration(t *testing.T) {
	t.Parallel()
	w := newDistrustedWorld(t)
	w.startSilent("silent", "idle")
	s := w.startProgram(withPath(newProgram(t, w.serveArgs()...), "/nonexistent"))
	p := w.scrape()
	p.wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", "silent")
	p.wantFailure(t, "silent", "not_instrumented")
	if p.usageOf(t, "silent", "sandmeter_sentry_cpu_seconds_total") <= 0 {
		t.Error("the sandbox has used no CPU time")
	}
	w.until(func() error {
		if log := s.err.String(); !strings.Contains(log, "there is no runsc in the configurations of Docker and containerd") || !strings.Contains(log, "is writable by everybody") || !strings.Contains(log, "give the file to --runsc") {
			return errNot("the log says what to do: " + log)
		}
		return nil
	})
}

// TestRunscRegistration: `runsc metric-metadata` has the same registration as a sandbox of the same
// build, byte for byte.
func TestRunscRegistration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("sb", "idle")
	listing, err := state.NewRoot(w.root).List()
	w.must(err)
	loaded, err := registration.Load(w.metadata())
	w.must(err)
	if want := listing.Sandboxes[0].Registration; want == nil || !bytes.Equal(loaded.JSON, want.JSON) {
		t.Errorf("runsc says\n%s\nthe sandbox\n%+v", loaded.JSON, want)
	}
}

// TestExportWithoutRegistration: the command export finds the registration too.
func TestExportWithoutRegistration(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.startSilent("silent", "idle")
	for _, flags := range [][]string{{"--runsc", realRunsc(t)}, {"--runsc", w.metadata()}} {
		w.until(func() error {
			p := withPath(newProgram(t, append([]string{"export", "--root", w.root, "silent"}, flags...)...), "/nonexistent")
			p.exit(t, 0)
			if !strings.Contains(p.out.String(), `sandbox="silent"`) {
				return errNot("the sandbox has metrics")
			}
			return nil
		})
	}
}
