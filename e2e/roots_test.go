package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/internal/runsc/runsctest"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
	"github.com/sandmeter/sandmeter/metricclient"
)

// TestSeveralRoots serves two runtime roots of real sandboxes with the same ID, together with a
// link to one of them, a glob that also matches it, roots that appear later, and a path that is not
// a directory.
func TestSeveralRoots(t *testing.T) {
	w := newWorld(t)
	other := runsctest.NewNode(t, runsc.Config{Runsc: realRunsc(t), Program: sandlab})
	w.start("same", "idle")
	w.must(other.Run(w.ctx(), w.container("same", "busy")))
	dir := t.TempDir()
	link, file, later := filepath.Join(dir, "link"), filepath.Join(dir, "file"), filepath.Join(dir, "later")
	w.must(os.Symlink(w.root, link))
	w.must(os.WriteFile(file, nil, 0o644))
	s := w.startServer(w.serveArgs("--linger=0", "--root", other.Root(), "--root", link, "--root", later, "--root", filepath.Join(dir, "glob*"), "--root", file))

	roots := func(p page) []string { return p.labels("runsc_meta_sandbox_presence", "runtime_root") }
	sorted := func(list ...string) []string { return slices.Sorted(slices.Values(list)) }
	p := w.scrape()
	if got, want := roots(p), sorted(w.root, other.Root()); !slices.Equal(got, want) {
		t.Errorf("sandboxes of the roots %q are served, want %q", got, want)
	}
	for _, root := range []string{w.root, other.Root()} {
		p.wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", "same", "runtime_root", root)
		p.wantValue(t, 1, alwaysThere, "sandbox", "same", "runtime_root", root)
		p.wantValue(t, 1, "sandmeter_runtime_root_readable", "runtime_root", root)
		client := metricclient.NewMetricClient(w.addr, root)
		defer client.Close()
		w.must(client.HealthCheck(w.ctx()))
	}
	p.wantValue(t, 0, "sandmeter_runtime_root_readable", "runtime_root", later)
	p.wantValue(t, 0, "sandmeter_runtime_root_readable", "runtime_root", file)
	p.wantNone(t, "sandmeter_runtime_root_readable", "runtime_root", link)
	p.wantValue(t, 2, "runsc_meta_num_sandboxes_total")

	// A root that appears is served from the next scrape on, and a removed one no longer.
	glob := filepath.Join(dir, "glob1")
	for _, root := range []string{later, glob} {
		w.must(os.Mkdir(root, 0o755))
		testkit.Start(t, root, simulate.Spec{ID: "same"})
	}
	if got, want := roots(w.scrape()), sorted(w.root, other.Root(), later, glob); !slices.Equal(got, want) {
		t.Errorf("sandboxes of the roots %q are served, want %q", got, want)
	}
	w.must(os.RemoveAll(glob))
	p = w.scrape()
	if got, want := roots(p), sorted(w.root, other.Root(), later); !slices.Equal(got, want) {
		t.Errorf("sandboxes of the roots %q are served, want %q", got, want)
	}
	p.wantNone(t, "sandmeter_runtime_root_readable", "runtime_root", glob)
	s.signal(syscall.SIGTERM)
	s.wantEnd(soon, 0) // the log is complete now
	for _, want := range []string{"Runtime root does not exist", "Runtime root is not readable", "Runtime root is readable"} {
		if got := strings.Count(s.err.String(), want); got != 1 {
			t.Errorf("the log has %q %d times, want once:\n%s", want, got, &s.err)
		}
	}
}

// TestManyRoots: platforms that make a root per sandbox leave many empty ones behind. These take no place
// of the one that has a sandbox.
func TestManyRoots(t *testing.T) {
	w := newWorld(t)
	w.start("only", "idle")
	roots := t.TempDir()
	for i := range 600 {
		w.must(os.MkdirAll(filepath.Join(roots, fmt.Sprintf("actor-%03d", i), "runsc-state"), 0o755))
	}
	w.must(os.Mkdir(filepath.Join(roots, "last"), 0o755))
	w.must(os.Symlink(w.root, filepath.Join(roots, "last", "runsc-state")))
	w.client = metricclient.NewMetricClient(w.addr, filepath.Join(roots, "last", "runsc-state"))
	t.Cleanup(w.client.Close)
	w.startServer(serveArgs(filepath.Join(roots, "*", "runsc-state"), w.addr))
	p := w.scrape()
	p.wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", "only")
	p.wantValue(t, 0, "sandmeter_runtime_roots_left_out")
	w.get("/-/ready") // fails unless it is ready
}
