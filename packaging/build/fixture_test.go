package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/packaging/program"
)

// checkout is the directory of this checkout, and sbomTool what make test builds before these tests.
const (
	checkout = "../.."
	sbomTool = checkout + "/bin/cyclonedx-gomod"
)

// epoch is the date of all packages in these tests.
var epoch = time.Date(2026, time.May, 4, 3, 2, 1, 0, time.UTC)

// scratch is a directory for what tests share.
var scratch string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sandmeter-packaging-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	scratch = dir
	code := m.Run()
	if err := os.RemoveAll(dir); err != nil {
		code = cmp.Or(code, 1)
		fmt.Fprintln(os.Stderr, err)
	}
	os.Exit(code)
}

// A build is the packages of this machine's architecture.
type build struct {
	release
	stage string // directory of what they are made of
	made  string // directory of the packages
}

// first returns the packages of v1.2.3. All tests share them, because compiling them takes a while.
func first(t *testing.T) build {
	t.Helper()
	b, err := buildFirst()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var buildFirst = sync.OnceValues(func() (build, error) {
	b := build{stage: filepath.Join(scratch, runtime.GOARCH), made: filepath.Join(scratch, "made")}
	root, err := filepath.Abs(checkout)
	if err != nil {
		return b, err
	}
	b.release = release{checkout: root, sbomTool: filepath.Join(root, "bin", "cyclonedx-gomod"), version: "v1.2.3", date: epoch}
	return b, b.write(context.Background(), scratch, filepath.Join(scratch, "dist"), []string{runtime.GOARCH}, io.Discard)
})

// path returns the only file whose name ends like that.
func (b build) path(t *testing.T, suffix string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(b.made, "*"+suffix))
	if err != nil || len(found) != 1 {
		t.Fatalf("the files that end in %s are %q, %v", suffix, found, err)
	}
	return found[0]
}

// next returns packages of v1.3.0 that differ from the first ones in their settings only.
func next(t *testing.T) build {
	t.Helper()
	first(t)
	b, err := buildNext()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var buildNext = sync.OnceValues(func() (build, error) {
	b, err := buildFirst()
	if err != nil {
		return b, err
	}
	stage := filepath.Join(scratch, "next")
	if err := os.CopyFS(stage, os.DirFS(b.stage)); err != nil {
		return b, err
	}
	settings := filepath.Join(stage, "sandmeter.default")
	data, err := os.ReadFile(settings)
	if err != nil {
		return b, err
	}
	if err := os.WriteFile(settings, append(data, "# New in 1.3.0.\n"...), 0o644); err != nil {
		return b, err
	}
	b.version, b.stage, b.made = "v1.3.0", stage, filepath.Join(scratch, "made-next")
	if err := os.Mkdir(b.made, 0o755); err != nil {
		return b, err
	}
	return b, b.packages(stage, b.made, runtime.GOARCH)
})

// unavailable skips the test because something that it needs is missing, or fails it in CI, which has
// everything.
func unavailable(t *testing.T, reason any) {
	t.Helper()
	if os.Getenv("SANDMETER_REQUIRE_RUNSC") == "1" {
		t.Fatal(reason)
	}
	t.Skip(reason)
}

// needs skips the test unless the programs are installed.
func needs(t *testing.T, programs ...string) {
	t.Helper()
	for _, program := range programs {
		if _, err := exec.LookPath(program); err != nil {
			unavailable(t, err)
		}
	}
}

// outputOf runs a program and returns what it writes to standard output.
func outputOf(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := program.Output(exec.CommandContext(t.Context(), name, args...))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// wantLines fails the test unless the lines are exactly these.
func wantLines(t *testing.T, what, got, want string) {
	t.Helper()
	if got, want = strings.TrimSpace(got), strings.TrimSpace(want); got != want {
		t.Errorf("%s:\n%s\nwant\n%s", what, got, want)
	}
}
