package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/simulate"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// newSimulatedWorld returns a world with simulated sandboxes, which run in this process. Only the
// server is real.
func newSimulatedWorld(t *testing.T) *world {
	t.Helper()
	dir := testkit.TempDir(t)
	w := &world{t: t, root: filepath.Join(dir, "root")}
	w.must(os.Mkdir(w.root, 0o755))
	w.setAddr(filepath.Join(dir, "metrics.sock"))
	return w
}

// simulate starts a simulated sandbox.
func (w *world) simulate(spec simulate.Spec) *simulate.Sandbox {
	w.t.Helper()
	return testkit.Start(w.t, w.root, spec)
}

// descriptors returns the number of open file descriptors of the server.
func (w *world) descriptors() int {
	w.t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", w.serverPid()))
	w.must(err)
	return len(entries)
}

// wantDescriptors fails the test if the server keeps more file descriptors open. Connections of the
// last scrape may be closing.
func (w *world) wantDescriptors(atMost int) {
	w.t.Helper()
	w.until(func() error {
		if now := w.descriptors(); now > atMost {
			return fmt.Errorf("the server has %d open descriptors, and should have %d", now, atMost)
		}
		return nil
	})
}

// memory returns a field of the server's /proc/PID/status in bytes: VmRSS is the current memory,
// VmHWM the peak.
func (w *world) memory(line string) int {
	w.t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", w.serverPid()))
	w.must(err)
	_, rest, _ := bytes.Cut(status, []byte(line+":"))
	value, _, _ := strings.Cut(string(rest), " kB")
	kB, err := strconv.Atoi(strings.TrimSpace(value))
	w.must(err)
	return kB << 10
}

// wantFailure fails the test unless the page has this reason for missing metrics of a sandbox; ""
// means none.
func (p page) wantFailure(t *testing.T, id, reason string) {
	t.Helper()
	got := ""
	for _, s := range p.find("runsc_meta_sandbox_failure", "sandbox", id) {
		got = s.labels["reason"]
	}
	if has := len(p.find(alwaysThere, "sandbox", id)) > 0; got != reason || has == (reason != "") {
		t.Errorf("sandbox %s has metrics: %t; reason %q, want %q", id, has, got, reason)
	}
}
