package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/leaktest"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// ample is longer than any step of these tests takes.
const ample = time.Minute

// TestMain builds the server that demos start.
func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "sandlab")
	if err == nil {
		server := filepath.Join(dir, "sandmeter")
		build := exec.Command("go", "build", "-buildvcs=false", "-o", server, "../sandmeter")
		build.Stdout, build.Stderr = os.Stdout, os.Stderr
		err = build.Run()
		os.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	}
	code := 1
	if err != nil {
		fmt.Fprintln(os.Stderr, "building the server:", err)
	} else {
		code = leaktest.Run(m)
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// A world is a directory in which tests run the program.
type world struct {
	*testing.T
	dir string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	dir := testkit.TempDir(t)
	return &world{t, dir}
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// path returns a path in the directory.
func (w *world) path(name string) string { return filepath.Join(w.dir, name) }

// command runs a command line to its end. {dir} stands for the directory.
func (w *world) command(line string) (code int, out, err string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), ample)
	defer cancel()
	var outs, errs strings.Builder
	code = run(ctx, strings.Fields(strings.ReplaceAll(line, "{dir}", w.dir)), cli.Stdio{Out: &outs, Err: &errs})
	return code, outs.String(), errs.String()
}

// fails fails the test unless a command line exits with a code and writes one line, the error.
func (w *world) fails(line string, wantCode int, want string) {
	w.Helper()
	code, out, err := w.command(line)
	want = "sandlab: " + strings.ReplaceAll(want, "{dir}", w.dir) + "\n"
	if code != wantCode || out != "" || err != want {
		w.Errorf("sandlab %s\nexits with %d and says\n\t%s\t%s\nwant %d and\n\t%s", line, code, out, err, wantCode, want)
	}
}
