package e2e

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/internal/runsc/runsctest"
)

// envOlderRunsc names the environment variable with the path of the older runsc. Without it, that is
// bin/older/runsc.
const envOlderRunsc = "SANDLAB_RUNSC_OLDER"

// onlyNewer is a metric that the runsc in tools/go.mod registers, and that in
// tools/runsc-older/go.mod does not. Each sandbox that has it reports it.
const onlyNewer = alwaysThere

// both are metrics that sandboxes of both releases report.
const both = "runsc_unimplemented_syscalls"

// A release is a runsc, with a node of its own.
type release struct {
	program string
	node    *runsc.Node
}

// findOlder returns the path of an older runsc that works here.
var findOlder = sync.OnceValues(func() (string, error) {
	path := os.Getenv(envOlderRunsc)
	if path == "" {
		path = "../bin/older/runsc"
	}
	path, err := runsc.Find(path)
	if err != nil {
		return "", fmt.Errorf("%w; build it with: make bin/older/runsc", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), ample)
	defer cancel()
	return path, runsc.Check(ctx, runsc.Config{Runsc: path, Program: sandlab}, "workload", "exit")
})

// olderRunsc returns the path of an older runsc that works here, or skips the test.
func olderRunsc(t *testing.T) string {
	t.Helper()
	path, err := findOlder()
	if err != nil {
		runsctest.Unavailable(t, err)
	}
	return path
}

// newReleases returns a world whose root has sandboxes of two releases of runsc. The newer one
// deletes those that are left at the end, as after an upgrade.
func newReleases(t *testing.T) (w *world, older, newer release) {
	t.Helper()
	older.program = olderRunsc(t)
	w = newWorldWith(t, runsc.Config{Runsc: older.program, Program: sandlab})
	older.node = w.node
	return w, older, w.release(realRunsc(t))
}

// release returns a further release that starts sandboxes in the world's root.
func (w *world) release(program string) release {
	w.t.Helper()
	r := release{program, runsctest.NewNode(w.t, runsc.Config{Runsc: program, Program: sandlab})}
	w.must(os.Remove(r.node.Root()))
	w.must(os.Symlink(w.root, r.node.Root()))
	return r
}

// run starts a sandbox of a release. Without metrics, it is one without a registration of its own.
func (w *world) run(r release, id string, withMetrics bool) {
	w.t.Helper()
	c := w.container(id, "idle")
	if !withMetrics {
		c.MetricServer = ""
	}
	w.must(r.node.Run(w.ctx(), c))
}

// wantServed scrapes until sandboxes are served with the registration of the older or the newer
// release.
func (w *world) wantServed(olderIDs, newerIDs []string) {
	w.t.Helper()
	w.until(func() error {
		p := w.scrape()
		for _, id := range append(olderIDs[:len(olderIDs):len(olderIDs)], newerIDs...) {
			if len(p.find(both, "sandbox", id)) == 0 {
				return fmt.Errorf("%s has no metrics: %v", id, p.labels("runsc_meta_sandbox_failure", "reason", "sandbox", id))
			}
		}
		return nil
	})
	p := w.scrape()
	for _, id := range olderIDs {
		p.wantNone(w.t, onlyNewer, "sandbox", id)
		p.wantNone(w.t, "runsc_meta_sandbox_failure", "sandbox", id)
	}
	for _, id := range newerIDs {
		p.wantValue(w.t, 1, onlyNewer, "sandbox", id)
		p.wantNone(w.t, "runsc_meta_sandbox_failure", "sandbox", id)
	}
}

// TestReleaseLayoutOfThree: one server serves sandboxes of three releases in the layout of today's, and
// of an older one that is one program, none of which was created with --metric-server. The server
// finds each runsc by its flags, or in PATH and in the configuration of Docker.
func TestReleaseLayoutOfThree(t *testing.T) {
	t.Parallel()
	w, older, _ := newReleases(t)
	w.run(older, "older", false)
	releases := map[string]release{}
	for i, id := range []string{"one", "two", "three"} {
		dir := filepath.Join(w.node.Dir(), id)
		releases[id] = w.release(anotherRelease(t, dir, i))
		w.run(releases[id], id, false)
		w.wantSentry(id, filepath.Join(dir, "gvisor-bin/gvisor_sentry"))
	}
	w.wantSentry("older", older.program)
	check := func(name string, start func(w *world) *program) {
		t.Run(name, func(t *testing.T) {
			w := &world{t: t, root: w.root, node: w.node}
			w.setAddr(freePort(t))
			s := w.startProgram(start(w))
			w.wantServed([]string{"older"}, []string{"one", "two", "three"})
			p := w.scrape()
			for i, id := range []string{"one", "two", "three"} {
				p.wantValue(t, 1, "runsc_meta_sandbox_metadata", "sandbox", id, "version", releaseVersion(i))
			}
			for _, r := range releases {
				if want := `msg="Registration read from runsc" program=` + r.program; !strings.Contains(s.err.String(), want+"\n") {
					t.Errorf("the log has no %s:\n%s", want, &s.err)
				}
			}
			s.signal(syscall.SIGTERM)
			s.wantEnd(soon, 0)
		})
	}
	check("flags", func(w *world) *program {
		args := w.serveArgs("--runsc", releases["one"].program, "--runsc", releases["two"].program,
			"--runsc", releases["three"].program, "--runsc", older.program)
		return withPath(newProgram(t, args...), "/nonexistent")
	})
	check("PATH and Docker", func(w *world) *program {
		runtimes := map[string]any{}
		for _, r := range []release{releases["two"], releases["three"], older} {
			runtimes[fmt.Sprint("runsc-", len(runtimes))] = map[string]any{"path": r.program}
		}
		daemon := filepath.Join(w.node.Dir(), "daemon.json")
		w.must(os.WriteFile(daemon, jsonOf(t, map[string]any{"runtimes": runtimes}), 0o600))
		return withPath(withDockerConfig(t, daemon, w.serveArgs()...), filepath.Dir(releases["one"].program))
	})
}

// wantSentry fails the test unless the process of a sandbox runs a program.
func (w *world) wantSentry(id, program string) {
	w.t.Helper()
	got, err := os.Readlink(fmt.Sprintf("/proc/%d/exe", w.pid(id)))
	w.must(err)
	want, err := filepath.EvalSymlinks(program)
	w.must(err)
	if got != want {
		w.t.Errorf("the sandbox %s runs %s, want %s", id, got, want)
	}
}

// TestTwoReleases: sandboxes of both releases report the CPU time of their containers in the form that
// splits the host's, and the server knows how they end. The older release does not replace %ID% in
// --final-metrics-log, so its sandboxes have the metrics of the last query.
func TestTwoReleases(t *testing.T) {
	t.Parallel()
	w, older, newer := newReleases(t)
	logs := filepath.Join(w.node.Dir(), "final", "%ID%.log")
	w.must(os.Mkdir(filepath.Dir(logs), 0o755))
	r := w.record(w.node.Dir(), "--final-metrics-log", logs)
	ids := map[string]release{usageID("older"): older, usageID("newer"): newer}
	for id, r := range ids {
		c := w.container(id, "busy")
		c.Cgroup, c.Flags = true, []string{"--final-metrics-log=" + logs}
		w.must(r.node.Run(w.ctx(), c))
	}
	for id, of := range ids {
		w.until(func() error {
			if cpu, _ := w.scrape().value("sandmeter_container_cpu_seconds_total", "sandbox", id, "container", id); cpu <= 0 {
				return errNot(id + " has used CPU time")
			}
			return nil
		})
		w.must(of.node.Kill(w.ctx(), id, unix.SIGKILL))
		record := r.wantEnded(id, "failed status 137")
		if record.CPU == nil || !record.UsageComplete || len(record.Metrics) == 0 || record.MetricsComplete != (of == newer) {
			t.Errorf("%s: %+v", id, record)
		}
	}
	if !exists(logs) {
		t.Errorf("the older release writes another file than %s", logs)
	}
}
