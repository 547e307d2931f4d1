package e2e

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sandmeter/sandmeter/metricclient"
)

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
