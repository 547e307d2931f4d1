package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"

	"github.com/sandmeter/sandmeter/internal/runsc"
)

var (
	// sandmeter is the path of the program under test, a static binary as users get it, and sandlab
	// that of the tools.
	sandmeter, sandlab string
	// reap reaps ended sandboxes and returns their number; see runsc.AdoptOrphans.
	reap func() int
)

func TestMain(m *testing.M) {
	if list := os.Getenv(envWithout); list != "" {
		fmt.Fprintln(os.Stderr, "e2e:", runWithout(list))
		os.Exit(1)
	}
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		code = 1
	}
	os.Exit(code)
}

// run creates what the tests share, runs them, and removes it.
func run(m *testing.M) (code int, err error) {
	if reap, err = runsc.AdoptOrphans(); err != nil {
		return 1, err
	}
	defer reap()
	dir, err := os.MkdirTemp("", "sandmeter-e2e-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	// Other users can run the program too.
	if err := os.Chmod(dir, 0o755); err != nil {
		return 1, err
	}
	sandmeter, sandlab = filepath.Join(dir, "sandmeter"), filepath.Join(dir, "sandlab")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", dir, "./cmd/sandmeter", "./cmd/sandlab")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building the programs: %w\n%s", err, out)
	}
	if code = m.Run(); code != 0 {
		return code, nil
	}
	return 0, goleak.Find()
}
