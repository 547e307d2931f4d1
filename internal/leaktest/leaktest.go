// Package leaktest fails a package's tests when they leave a goroutine or a descriptor behind.
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

// endTime is how long what is ending may take to end.
var endTime = 30 * time.Second

// Main runs the tests and exits. Once they pass it waits for what they started to end, and fails with a list of what does not.
func Main(m *testing.M) { os.Exit(Run(m)) }

// Run is Main for a TestMain that has more to do: it returns the exit code instead of exiting with it.
func Run(m *testing.M) int {
	before := look()
	code := m.Run()
	if code != 0 || fuzzing() {
		return code
	}
	if left := before.left(); len(left) > 0 {
		fmt.Fprintf(os.Stderr, "leaktest: the tests left behind:\n%s\n", strings.Join(left, "\n"))
		return 1
	}
	return 0
}

// Check makes one test fail that leaves behind what was not there when it called Check. It is for tests that nothing runs beside.
func Check(tb testing.TB) {
	tb.Helper()
	before := look()
	tb.Cleanup(func() {
		if left := before.left(); len(left) > 0 {
			tb.Errorf("the test left behind:\n%s", strings.Join(left, "\n"))
		}
	})
}

// fuzzing reports whether inputs are being made up, which takes goroutines and pipes of the testing package's own.
func fuzzing() bool {
	pattern, worker := flag.Lookup("test.fuzz"), flag.Lookup("test.fuzzworker")
	return pattern.Value.String() != "" || worker.Value.String() == "true"
}

// things are goroutines and descriptors, each as a key that tells it from others and a text for people.
type things map[string]string

func look() things {
	// The runtime opens its poller when it is first needed, and keeps it.
	if r, w, err := os.Pipe(); err == nil {
		r.Close()
		w.Close()
	}
	there := make(things)
	there.addDescriptors()
	there.addGoroutines()
	return there
}

// left returns what is there and was not before, after waiting for it to go.
func (t things) left() []string {
	for deadline := time.Now().Add(endTime); ; time.Sleep(5 * time.Millisecond) {
		now := look()
		maps.DeleteFunc(now, func(key, _ string) bool { return t[key] != "" })
		if len(now) == 0 || time.Now().After(deadline) {
			return slices.Sorted(maps.Values(now))
		}
	}
}

// addDescriptors adds descriptors by their number and what they are open on.
func (t things) addDescriptors() {
	numbers, _ := filepath.Glob("/dev/fd/*")
	for _, path := range numbers {
		target, err := os.Readlink(path)
		if os.IsNotExist(err) {
			continue // the one that the list was read from
		}
		text := "descriptor " + filepath.Base(path) + " " + target
		t[text] = text
	}
}

// addGoroutines adds all goroutines but the caller's and the one that os/signal keeps for ever.
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
