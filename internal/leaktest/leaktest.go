// Package leaktest fails a package's tests when they leak a goroutine or a file descriptor.
//
//	func TestMain(m *testing.M) { leaktest.Main(m) }
package leaktest

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// endTime is how long goroutines and file descriptors may take to go away.
var endTime = 30 * time.Second

// Main runs the tests and exits. If they pass, it waits until everything that they started has
// ended, and fails with a list of the leaks.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main for a TestMain that has more to do: it returns the exit code instead of exiting.
func Run(m *testing.M) int {
	before := look()
	code := m.Run()
	if code != 0 || fuzzing() {
		return code
	}
	if left := before.left(); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "leaktest: the tests leaked:\n%s\n", strings.Join(left, "\n"))
		return 1
	}
	return 0
}

// Check fails the test if it leaks a goroutine or file descriptor after the call. No other test may
// run at the same time.
func Check(tb testing.TB) {
	tb.Helper()
	before := look()
	tb.Cleanup(func() {
		if left := before.left(); len(left) > 0 {
			tb.Errorf("the test leaked:\n%s", strings.Join(left, "\n"))
		}
	})
}

// fuzzing reports whether the test binary is fuzzing, for which package testing has goroutines and
// pipes of its own.
func fuzzing() bool {
	pattern, worker := flag.Lookup("test.fuzz"), flag.Lookup("test.fuzzworker")
	return pattern.Value.String() != "" || worker.Value.String() == "true"
}

// things are goroutines and file descriptors: a unique key and a readable text for each.
type things map[string]string

func look() things {
	// Makes the Go runtime open its poller, which it keeps.
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	there := make(things)
	there.addDescriptors()
	there.addGoroutines()
	return there
}

// left waits until everything that is not in t has gone, and returns what remains.
func (t things) left() []string {
	for deadline := time.Now().Add(endTime); ; time.Sleep(5 * time.Millisecond) {
		now := look()
		maps.DeleteFunc(now, func(key, _ string) bool { return t[key] != "" })
		if len(now) == 0 || time.Now().After(deadline) {
			return slices.Sorted(maps.Values(now))
		}
	}
}

// addDescriptors adds the open file descriptors, by number and target.
func (t things) addDescriptors() {
	numbers, _ := filepath.Glob("/dev/fd/*")
	for _, path := range numbers {
		target, err := os.Readlink(path)
		if os.IsNotExist(err) {
			continue // the descriptor of /dev/fd itself
		}
		text := "file descriptor " + filepath.Base(path) + " " + target
		t[text] = text
	}
}

// addGoroutines adds all goroutines except the caller's and the permanent goroutine of os/signal.
func (t things) addGoroutines() {
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for _, stack := range strings.Split(string(stacks), "\n\n")[1:] {
		if !strings.Contains(stack, "os/signal.loop(") {
			id, _, _ := strings.Cut(stack, " [") // "goroutine 7 [select]:"
			t[id] = strings.TrimSpace(stack)
		}
	}
}
