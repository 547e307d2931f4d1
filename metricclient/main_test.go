package metricclient

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/leaktest"
)

// TestMain runs the tests or a fake server: the tests start this program again for every server.
// The tests must not leak goroutines, child processes or file descriptors.
func TestMain(m *testing.M) {
	// Only the command line distinguishes a server from a fuzzing worker, which runs this program
	// too.
	if os.Getenv(fakeServerEnv) != "" && slices.Contains(os.Args, config.MetricServerCommand) {
		runFakeServer()
		return
	}
	os.Setenv(fakeServerEnv, "yes")
	os.Setenv("GORACE", "atexit_sleep_ms=0") // otherwise every server built with -race takes a second to exit
	os.Setenv(programEnv, os.Args[0])        // for the examples, which start a server like any program
	code := leaktest.Run(m)
	if err := childrenLeft(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, "the tests left behind", err)
		code = 1
	}
	os.Exit(code)
}

// childrenLeft returns an error if a child process exists. A process is reaped before the goroutine
// that waits for it ends.
func childrenLeft() error {
	pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
	if errors.Is(err, syscall.ECHILD) {
		return nil
	}
	return fmt.Errorf("a child process (%d, %v)", pid, err)
}
