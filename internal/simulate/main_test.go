package simulate

import (
	"bufio"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary be a fleet in a process of its own, whose CPU time can be told from that
// of its clients.
func TestMain(m *testing.M) {
	if root := os.Getenv("SANDBOXTEST_FLEET"); root != "" {
		if err := playFleet(root); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	r, w, _ := os.Pipe() // the runtime's own poller takes descriptors at first use, for good
	r.Close()
	w.Close()
	before := resources()
	code := m.Run()
	if after := settle(before); code == 0 && after != before {
		fmt.Fprintf(os.Stderr, "left over: %+v, began with %+v\n", after, before)
		pprof.Lookup("goroutine").WriteTo(os.Stderr, 1)
		code = 1
	}
	os.Exit(code)
}

// held is what a test may not leave behind.
type held struct{ goroutines, descriptors int }

func resources() held {
	fds, _ := os.ReadDir("/proc/self/fd")
	return held{runtime.NumGoroutine(), len(fds)}
}

// settle waits until nothing is held beyond what was before, for a second at most, and returns what is.
func settle(before held) held {
	now := resources()
	for range 100 {
		if now.goroutines <= before.goroutines && now.descriptors <= before.descriptors {
			return before
		}
		time.Sleep(10 * time.Millisecond)
		now = resources()
	}
	return now
}

// playFleet answers every line on stdin with the CPU time used so far, in ns, until stdin ends.
func playFleet(root string) error {
	var n int
	var opts FleetOptions
	if _, err := fmt.Sscan(os.Getenv("SANDBOXTEST_SIZE"), &n, &opts.Points); err != nil {
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
