// Package runsctest provides nodes of real sandboxes to tests, where runsc can run.
package runsctest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/runsc"
)

// EnvRequire names the environment variable that turns skipping into failing when it is "1"; see
// Unavailable.
const EnvRequire = "SANDMETER_REQUIRE_RUNSC"

// checked caches the results of runsc.Check, which takes a tenth of a second. The key is the
// program.
var checked sync.Map

type verdict struct {
	path string
	err  error
}

// Program finds the runsc of a release and checks that it can run a static program, which must exit at
// once with status 0 when called with args. If it cannot, Program skips the test with the reason, or
// fails it if runsc is required.
func Program(t testing.TB, program string, args ...string) string {
	t.Helper()
	once, _ := checked.LoadOrStore(program, sync.OnceValue(func() verdict { return check(program, args) }))
	v := once.(func() verdict)()
	if v.err != nil {
		Unavailable(t, v.err)
	}
	return v.path
}

// Unavailable skips the test because a program that it needs does not work here, or fails it if
// EnvRequire is set.
func Unavailable(t testing.TB, err error) {
	t.Helper()
	if os.Getenv(EnvRequire) == "1" {
		t.Fatal(err)
	}
	t.Skip(err)
}

func check(program string, args []string) verdict {
	path, err := find()
	if err != nil {
		return verdict{err: err}
	}
	if sentry, ok := runsc.Sentry(path); !ok {
		return verdict{err: fmt.Errorf("%s is not the runsc of a release: there is no %s; build it with: make build", path, sentry)}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return verdict{path, runsc.Check(ctx, runsc.Config{Runsc: path, Program: program}, args...)}
}

// find returns the runsc of the environment variable, else bin/runsc of the checkout, else the
// result of runsc.Find.
func find() (string, error) {
	if os.Getenv(runsc.EnvRunsc) == "" {
		if dir, err := os.Getwd(); err == nil {
			for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
				if path, err := runsc.Find(filepath.Join(dir, "bin", "runsc")); err == nil {
					return path, nil
				}
			}
		}
	}
	return runsc.Find("")
}

// NewNode returns a node that is closed at the end of the test. The test fails if Close leaves
// anything behind.
func NewNode(t testing.TB, conf runsc.Config) *runsc.Node {
	t.Helper()
	node, err := runsc.NewNode(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Close(t, node) })
	return node
}

// Close closes a node and fails the test if a process, mount or file of it is left behind.
func Close(t testing.TB, node *runsc.Node) {
	t.Helper()
	if err := node.Close(); err != nil {
		t.Errorf("closing the node: %v", err)
	}
	for _, left := range Leftovers(t, node.Dir()) {
		t.Errorf("left behind: %s", left)
	}
}

// Leftovers returns the processes, mounts and sockets of this machine that refer to a directory,
// and the directory if it exists.
func Leftovers(t testing.TB, dir string) []string {
	t.Helper()
	var left []string
	if _, err := os.Lstat(dir); err == nil {
		left = append(left, "directory "+dir)
	}
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range lines {
		// A process that has ended by now has no line to read.
		if line, err := os.ReadFile(path); err == nil && strings.Contains(string(line), dir) {
			left = append(left, "process "+strings.ReplaceAll(string(line), "\x00", " "))
		}
	}
	for _, table := range []string{"/proc/self/mountinfo", "/proc/net/unix"} {
		text, err := os.ReadFile(table)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.Contains(line, dir) {
				left = append(left, table+": "+strings.TrimSpace(line))
			}
		}
	}
	return left
}
