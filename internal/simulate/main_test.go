package simulate

import (
	"bufio"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/leaktest"
)

// TestMain lets the test binary run as a fleet in another process, so that its CPU time is separate
// from that of its clients.
func TestMain(m *testing.M) {
	if root := os.Getenv("SIMULATE_FLEET"); root != "" {
		if err := runFleet(root); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	leaktest.Main(m)
}

// runFleet replies to every line on stdin with the CPU time used so far, in ns, until stdin ends.
func runFleet(root string) error {
	var n int
	var opts FleetOptions
	if _, err := fmt.Sscan(os.Getenv("SIMULATE_SIZE"), &n, &opts.Points); err != nil {
		return err
	}
	fleet, err := StartFleet(root, n, opts)
	if err != nil {
		return err
	}
	fmt.Println(cpuTime().Nanoseconds())
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		fmt.Println(cpuTime().Nanoseconds())
	}
	return fleet.Remove()
}

func cpuTime() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
