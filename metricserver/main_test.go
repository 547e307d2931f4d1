package metricserver

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sandmeter/sandmeter/internal/leaktest"
)

// TestMain makes a copy of the test binary named runsc-simulated a simulated runsc.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "runsc-simulated" {
		simulateRunsc(os.Args[1])
		return
	}
	leaktest.Main(m)
}

// openedFiles is the registration of a runsc with one metric.
const openedFiles = `metrics: { name: "/fs/opens" prometheus_name: "fs_opens" description: "Number of file opens." cumulative: true }`

// simulateRunsc prints its version, or the registration.
func simulateRunsc(command string) {
	if command == "--version" {
		fmt.Println("runsc version test")
		return
	}
	fmt.Println(openedFiles)
}
