package e2e

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/metricclient"
)

// onARM64 returns a run of the program as built for arm64, with an emulator of its instructions. The
// system calls are those of this kernel.
func onARM64(t *testing.T, args ...string) *program {
	t.Helper()
	if runtime.GOARCH == "arm64" {
		t.Skip("all other tests run on arm64")
	}
	emulator := findPeer(t, "bin/debian/qemu-aarch64-static")
	path := filepath.Join(t.TempDir(), "sandmeter")
	ctx, cancel := context.WithTimeout(t.Context(), 10*ample) // the first time, it compiles everything for arm64
	defer cancel()
	build := exec.CommandContext(ctx, "go", "build", "-buildvcs=false", "-trimpath", "-o", path, "./cmd/sandmeter")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=arm64")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return newRun(t, emulator, append([]string{path}, args...)...)
}

// TestARM64: the program for arm64 serves the same page of a real sandbox as that for this machine:
// metrics, usage and the outcome.
func TestARM64(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	id := usageID("arm64")
	c := w.container(id, "touch", "10")
	c.Cgroup = true
	w.must(w.node.Run(w.ctx(), c))
	p := onARM64(t, w.serveArgs()...)
	s := w.startProgram(p)
	w.untilBegun(1)
	first := w.scrape()
	first.wantValue(t, 1, alwaysThere, "sandbox", id)
	first.wantNone(t, "sandmeter_sandbox_usage_absent")
	for _, metric := range []string{"sandmeter_sandbox_cpu_seconds_total", "sandmeter_sandbox_memory_bytes"} {
		if first.usageOf(t, id, metric) <= 0 {
			t.Errorf("%s is 0", metric)
		}
	}
	first.wantValue(t, 1, "sandmeter_build_info", "goarch", "arm64")

	native := parsePage(t, metricclient.MetricData(w.command("export", "--metric-naming", "runsc", "--root", w.root, id)))
	for name := range native.of(id) {
		if len(w.scrape().find(name, "sandbox", id)) == 0 {
			t.Errorf("the page lacks %s", name)
		}
	}

	w.must(w.node.Kill(w.ctx(), id, unix.SIGKILL))
	w.until(func() error {
		if len(w.scrape().find("sandmeter_sandbox_outcome", "sandbox", id, "outcome", "failed", "exit_code", "137")) != 1 {
			return errNot("the server knows how the sandbox ended: " + s.err.String())
		}
		return nil
	})
}
