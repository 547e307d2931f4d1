package metricclient

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/config"
)

// TestMain runs the tests, or plays a server: every server that the tests start is this program again. After the tests nothing must be
// left: no goroutine, no child, no descriptor.
func TestMain(m *testing.M) {
	// The command line alone tells a server from a fuzzing worker, which is this program too.
	if os.Getenv(fakeServerEnv) != "" && slices.Contains(os.Args, config.MetricServerCommand) {
		playServer()
		return
	}
	os.Setenv(fakeServerEnv, "yes")
	os.Setenv("GORACE", "atexit_sleep_ms=0") // else every server built with -race takes a second to end
	os.Setenv(programEnv, os.Args[0])        // for the examples, which start a server like any program
	before := openChannels()
	code := m.Run()
	if err := leftovers(before); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, "the tests leave behind:", err)
		code = 1
	}
	os.Exit(code)
}

// leftovers waits a little for what is about to end, and returns what is still there.
func leftovers(channels int) (err error) {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if err = errors.Join(goroutinesLeft(), childrenLeft(), channelsLeft(channels)); err == nil {
			return nil
		}
	}
	return err
}

// goroutinesLeft returns an error with all stacks if there is a goroutine but this one.
func goroutinesLeft() error {
	if runtime.NumGoroutine() <= 1 {
		return nil
	}
	var stacks strings.Builder
	_ = pprof.Lookup("goroutine").WriteTo(&stacks, 2)
	// The one that os/signal starts at first use never ends.
	if strings.Count(stacks.String(), "os/signal.loop") >= runtime.NumGoroutine()-1 {
		return nil
	}
	return errors.New("goroutines:\n" + stacks.String())
}

func childrenLeft() error {
	pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil)
	if errors.Is(err, syscall.ECHILD) {
		return nil
	}
	return fmt.Errorf("a child process (%d, %v)", pid, err)
}

func channelsLeft(before int) error {
	if n := openChannels(); n > before {
		return fmt.Errorf("%d open sockets and pipes", n-before)
	}
	return nil
}

// openChannels counts the sockets and pipes of this process, on systems that list them.
func openChannels() int {
	links, _ := filepath.Glob("/proc/self/fd/*")
	n := 0
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil && (strings.HasPrefix(target, "socket:") || strings.HasPrefix(target, "pipe:")) {
			n++
		}
	}
	return n
}
