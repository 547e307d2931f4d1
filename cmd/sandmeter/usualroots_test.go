package main

import (
	"os"
	"testing"

	"github.com/sandmeter/sandmeter/internal/cli"
)

// setUsualRoots replaces the globs of usual roots during a test.
func setUsualRoots(t *testing.T, globs ...string) {
	before := usualRoots
	usualRoots = globs
	t.Cleanup(func() { usualRoots = before })
}

// TestMissingDefaultRoot: if the default root is missing, the error suggests other roots that
// exist.
func TestMissingDefaultRoot(t *testing.T) {
	w := newWorld(t)
	t.Setenv("XDG_RUNTIME_DIR", w.path("missing"))
	const missing = "read runtime root {dir}/missing/runsc: no such file or directory; set the runtime root with --root"
	fails := func(line, want string) {
		t.Helper()
		w.fails(line, cli.ExitFail, want)
	}
	setUsualRoots(t, w.path("missing/*"), w.path("none"))
	fails("list", missing)
	setUsualRoots(t, w.path("roo?"), w.path("containerd/*"), w.path("none"))
	w.must(os.MkdirAll(w.path("containerd/default"), 0o755))
	w.must(os.MkdirAll(w.path("containerd/k8s.io"), 0o755))
	w.must(os.WriteFile(w.path("containerd/file"), nil, 0o644))
	const others = "; existing runtime roots: {root}, {dir}/containerd/default, {dir}/containerd/k8s.io"
	fails("list", missing+others)
	fails("export a", missing+others)
	fails("--metric-server={socket} metric-server", missing+", or allow a missing one with --allow-unknown-root"+others)
	// A root from a flag is not the default.
	fails("list --root {dir}/none", "read runtime root {dir}/none: no such file or directory; set the runtime root with --root")
	// This root is not missing.
	w.must(os.MkdirAll(w.path("missing"), 0o755))
	w.must(os.WriteFile(w.path("missing/runsc"), nil, 0o644))
	fails("list", "read runtime root {dir}/missing/runsc: not a directory; set the runtime root with --root")
}
