// Package runsctest gives tests nodes of real sandboxes, where runsc can run.
package runsctest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/runsc"
)

// EnvRequire names the environment variable that turns skipping into failing when it is "1".
const EnvRequire = "SANDMETER_REQUIRE_RUNSC"

// checked remembers runsc.Check, which takes a tenth of a second and says the same to every test. The key is the program.
var checked sync.Map

type verdict struct {
	path string
	err  error
}

// Program finds runsc and checks that it can run here with a static program, which has to end at once with status 0 when it is called
// with args. If runsc can't run, the test is skipped with the reason, or fails where runsc is required.
func Program(t testing.TB, program string, args ...string) string {
	t.Helper()
	once, _ := checked.LoadOrStore(program, sync.OnceValue(func() verdict { return check(program, args) }))
	v := once.(func() verdict)()
	if v.err != nil && os.Getenv(EnvRequire) == "1" {
		t.Fatal(v.err)
	}
	if v.err != nil {
		t.Skip(v.err)
	}
	return v.path
}

func check(program string, args []string) verdict {
	path, err := find()
	if err != nil {
		return verdict{err: err}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return verdict{path, runsc.Check(ctx, runsc.Config{Runsc: path, Program: program}, args...)}
}

// find returns the runsc of the environment, else the one that `make build` puts into the checkout that the test runs in, else any.
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

// NewNode returns a node that the test closes at its end; something left behind by that fails the test.
func NewNode(t testing.TB, conf runsc.Config) *runsc.Node {
	t.Helper()
	node, err := runsc.NewNode(conf)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Close(t, node) })
	return node
}

// Close closes a node and fails the test if something of it stays behind: a process, a mount or a file.
func Close(t testing.TB, node *runsc.Node) {
	t.Helper()
	if err := node.Close(); err != nil {
		t.Errorf("closing the node: %v", err)
	}
	for _, left := range Leftovers(t, node.Dir()) {
		t.Errorf("left behind: %s", left)
	}
}

// Leftovers names the processes, mounts and sockets of this machine that name a folder, and the folder itself if it exists.
func Leftovers(t testing.TB, dir string) []string {
	t.Helper()
	var left []string
	if _, err := os.Lstat(dir); err == nil {
		left = append(left, "folder "+dir)
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
