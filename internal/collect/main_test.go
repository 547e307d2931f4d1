package collect

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"testing"

	"github.com/sandmeter/sandmeter/internal/leaktest"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// envFleet makes the test binary simulate a fleet. Its value is the runtime root, the number of
// sandboxes, and the points of each.
const envFleet = "SANDMETER_TEST_FLEET"

func TestMain(m *testing.M) {
	if os.Getenv(envFleet) != "" {
		if err := simulateFleet(os.Getenv(envFleet)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	leaktest.Main(m)
}

// simulateFleet simulates a fleet until standard input ends.
func simulateFleet(spec string) error {
	var root string
	var sandboxes, points int
	if _, err := fmt.Sscan(spec, &root, &sandboxes, &points); err != nil {
		return fmt.Errorf("%s=%s: %w", envFleet, strconv.Quote(spec), err)
	}
	fleet, err := simulate.StartFleet(root, sandboxes, simulate.FleetOptions{Points: points})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	return fleet.Remove()
}
