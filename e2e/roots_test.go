package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sandmeter/sandmeter/internal/runsc"
	"github.com/sandmeter/sandmeter/internal/runsc/runsctest"
	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
	"github.com/sandmeter/sandmeter/metricclient"
)

// TestSeveralRoots serves two runtime roots of real sandboxes with the same ID, and one that appears later.
func TestSeveralRoots(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	other := runsctest.NewNode(t, runsc.Config{Runsc: realRunsc(t), Program: sandlab})
	w.start("same", "idle")
	w.must(other.Run(w.ctx(), w.container("same", "busy")))
	later := filepath.Join(t.TempDir(), "later")
	w.startServer(w.serveArgs("--root", other.Root(), "--root", later))
	p := w.scrape()
	for _, root := range []string{w.root, other.Root()} {
		p.wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", "same", "runtime_root", root)
		p.wantValue(t, 1, alwaysThere, "sandbox", "same", "runtime_root", root)
		p.wantValue(t, 1, "sandmeter_runtime_root_readable", "runtime_root", root)
		client := metricclient.NewMetricClient(w.addr, root)
		defer client.Close()
		w.must(client.HealthCheck(w.ctx()))
	}
	p.wantValue(t, 0, "sandmeter_runtime_root_readable", "runtime_root", later)
	p.wantValue(t, 2, "runsc_meta_num_sandboxes_total")
	w.must(os.Mkdir(later, 0o755))
	testkit.Start(t, later, simulate.Spec{ID: "same"})
	w.scrape().wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", "same", "runtime_root", later)
}

// TestManyRoots: platforms that make a root per sandbox leave many empty ones behind. These take no place
// of the one that has a sandbox.
func TestManyRoots(t *testing.T) {
	t.Parallel()
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
