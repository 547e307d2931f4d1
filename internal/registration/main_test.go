package registration

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/sandmeter/sandmeter/internal/leaktest"
)

func TestMain(m *testing.M) { leaktest.Main(m) }

// testVersion is the version of a simulated runsc, unless its name has another one.
const testVersion = noVersion

// simulatedRunsc returns a program that simulates runsc. It is built, because the race detector makes a
// copy of the test binary slow to start.
var simulatedRunsc = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "runsc")
	build := exec.Command("go", "build", "-buildvcs=false", "-o", path, "./testdata/runsc")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: %s", err, out)
	}
	return os.ReadFile(path)
})

// short is a registration of one metric in the text format, and shortJSON the same as JSON.
const (
	short     = `metrics: { name: "/a" prometheus_name: "a" description: "d" cumulative: true }` + "\n"
	shortJSON = `{"metrics":[{"name":"/a","prometheus_name":"a","description":"d","cumulative":true}],"stages":null}`
)
