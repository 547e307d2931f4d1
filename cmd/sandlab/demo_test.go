package main

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/cli"
)

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := os.ReadDir(dir)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestDemoShowsSimulated: if real sandboxes cannot run, the demo prints the reason and shows simulated
// ones, whatever the settings of other servers.
func TestDemoShowsSimulated(t *testing.T) {
	w := newWorld(t)
	tmp := w.path("tmp")
	w.must(os.Mkdir(tmp, 0o755))
	t.Setenv("TMPDIR", tmp)
	t.Setenv("SANDMETER_ROOT", "/nonexistent")
	t.Setenv("SANDMETER_SANDBOX_TIMEOUT", "nonsense")
	code, out, err := w.command("demo --runsc {dir}/missing --for 1s --interval 250ms")
	why := "No real sandboxes: runsc not found at the given path: stat " + w.path("missing") + ": no such file or directory. Showing simulated ones.\n"
	if code != cli.ExitOK || err != why+"\nStopping the server…\n" {
		t.Errorf("it exits with %d and says\n%s", code, err)
	}
	for _, pattern := range []string{
		`simulated-0002 +- +- +running .* ok\n`, `runsc_fs_opens_total\{.*"simulated-0002"`, `curl --unix-socket ` + tmp + "/sandmeter-",
	} {
		if n := len(regexp.MustCompile(pattern).FindAllString(out, -1)); n < 2 {
			t.Errorf("%s is shown %d times:\n%s", pattern, n, strings.TrimSpace(out))
		}
	}
	wantEmpty(t, tmp)
	w.fails("demo --for -1s", cli.ExitUsage, "--interval must be positive, and --for must not be negative")
	w.fails("demo --real --runsc {dir}/missing", cli.ExitFail, "runsc not found at the given path: stat {dir}/missing: no such file or directory")
	wantEmpty(t, tmp)
}
