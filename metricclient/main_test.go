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

// TestMain runs the tests, or a fake server: every server that the tests start is this program again. The tests must leave no goroutine,
// child process or descriptor behind.
func TestMain(m *testing.M) {
	// The command line alone tells a server from a fuzzing worker, which is this program too.
	if os.Getenv(fakeServerEnv) != "" && slices.Contains(os.Args, config.MetricServerCommand) {
		runFakeServer()
		return
	}
	os.Setenv(fakeServerEnv, "yes")
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else every server built with -race takes a second to end
	os.Setenv(programEnv, os.Args[0])        // for the examples, which start a server like any program
	code := leaktest.Run(m)
	if err := childrenLeft(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, "the tests left behind", err)
		code = 1
	}
	os.Exit(code)
}

// childrenLeft returns an error if there is a child process. A process is reaped before the goroutine that waits for it ends.
func childrenLeft() error {
	pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
	if errors.Is(err, syscall.ECHILD) {
		return nil
	}
	return fmt.Errorf("a child process (%d, %v)", pid, err)
}
