// Package charts tests the Helm chart: what it renders for several values is golden, is what
// Kubernetes and the Prometheus Operator understand, and is what this version of the program
// accepts.
package charts

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write golden and generated files anew")

// chartDir is the directory of the chart.
const chartDir = "sandmeter"

// sandmeter is the path of the program that the chart installs.
var sandmeter string

func TestMain(m *testing.M) {
	flag.Parse()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, "charts:", err)
		code = 1
	}
	os.Exit(code)
}

// run builds the program, runs the tests, and removes the program.
func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "sandmeter-charts-")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	sandmeter = filepath.Join(dir, "sandmeter")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", sandmeter, "./cmd/sandmeter")
	build.Dir = ".."
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building the program: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// current reports an error unless the file has the content; with -update, it writes the file.
func current(t *testing.T, path, content string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil || string(have) != content {
		t.Errorf("%s is not current (%v): run go test . -update in charts/, and read the diff. Want:\n%s", path, err, content)
	}
}
