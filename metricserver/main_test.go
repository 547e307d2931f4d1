package metricserver

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/leaktest"
)

// TestMain makes a copy of the test binary named runsc-… a simulated runsc.
func TestMain(m *testing.M) {
	if behavior, isRunsc := strings.CutPrefix(filepath.Base(os.Args[0]), "runsc-"); isRunsc {
		simulateRunsc(behavior, os.Args[1])
		return
	}
	leaktest.Main(m)
}

// openedFiles is the registration of a runsc with one metric.
const openedFiles = `metrics: { name: "/fs/opens" prometheus_name: "fs_opens" description: "Number of file opens." cumulative: true }`

// simulateRunsc tells its version, and then behaves as its name says.
func simulateRunsc(behavior, command string) {
	if command == "--version" {
		fmt.Println("runsc version test")
		return
	}
	if err := os.WriteFile(os.Args[0]+".began", nil, 0o600); err != nil {
		panic(err)
	}
	switch behavior {
	case "works":
		fmt.Println(openedFiles)
	case "fails":
		fmt.Fprintln(os.Stderr, "out of order")
		os.Exit(3)
	}
}
