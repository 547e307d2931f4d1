package roots

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestWays: what a path is on the way to the runtime roots.
func TestWays(t *testing.T) {
	check := func(configured, path, want string) {
		t.Helper()
		way := NewWays(strings.Fields(configured)).Of(path)
		var got []string
		if way.IsRoot {
			got = append(got, "root")
		}
		if way.Globs {
			got = append(got, "globs")
		}
		if got := strings.Join(append(got, way.Names...), " "); got != want || way.Leads() != (want != "") {
			t.Errorf("%s with %s: %q, %t; want %q", path, configured, got, way.Leads(), want)
		}
	}
	const glob = "/a/b*/c/[de]"
	check(glob, "/", "a")
	check(glob, "/a", "globs")
	check(glob, "/a/", "globs")
	check(glob, "/a/b1", "c")
	check(glob, "/a/b1/c", "globs")
	check(glob, "/a/b1/c/d", "root")
	check(glob, "/a/b1/c/d/x", "")
	check(glob, "/a/b1/c/x", "")
	check(glob, "/a/b1/x", "")
	check(glob, "/a/x", "")
	check(glob, "/x", "")
	check(glob, ".", "")

	check("/a/b", "/a", "b")
	check("/a/b", "/a/b", "root")
	check("/a/b/", "/a/b", "root")
	check("/a/b", "/a/b/c", "")
	check("/", "/", "root")
	check("/*", "/", "globs")
	check(`/a\\b`, `/a\\b`, "root") // not a glob

	check("/a /a/b /a/* /c", "/a", "root globs b")
	check("/a /a/b /a/* /c", "/a/b", "root")
	check("/a /a/b /a/* /c", "/", "a c")

	// Paths may be relative.
	check("a/*", ".", "a")
	check("*/b", ".", "globs")
	check("*/b", "./a", "b")
	check("*/b", "a/b", "root")
}

// TestMatching: a pattern matches the paths that filepath.Glob finds, and those that may exist.
func TestMatching(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a1/x/r", "a1/y", "a2/x", "b/x/r", "a3/x"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "a4"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	check := func(glob string, want ...string) {
		t.Helper()
		got := newPattern(filepath.Join(dir, glob)).matching()
		for i := range got {
			got[i] = strings.TrimPrefix(got[i], dir+"/")
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s matches %q, want %q", glob, got, want)
		}
	}
	check("a*", "a1", "a2", "a3", "a4")
	check("[ab]?", "a1", "a2", "a3", "a4")
	check("a*/x", "a1/x", "a2/x", "a3/x", "a4/x")
	check("a*/x/r", "a1/x/r", "a2/x/r", "a3/x/r", "a4/x/r")
	check("a*/x/*", "a1/x/r")
	check("*/*/r", "a1/x/r", "a1/y/r", "a2/x/r", "a3/x/r", "b/x/r")
	check("none/*")
	check("none*/x")

	t.Chdir(dir)
	for _, glob := range []string{"*", "./*/y", "/*", "../*"} {
		want, err := filepath.Glob(filepath.Clean(glob))
		if err != nil {
			t.Fatal(err)
		}
		got := newPattern(glob).matching()
		got = slices.DeleteFunc(got, func(path string) bool { _, err := os.Lstat(path); return err != nil })
		if !slices.Equal(got, want) {
			t.Errorf("%s matches %q, want %q", glob, got, want)
		}
	}
}

// BenchmarkWays: the watch asks for each file that is created in a directory that leads to roots.
func BenchmarkWays(b *testing.B) {
	ways := NewWays([]string{"/run/containerd/runsc/*", "/var/run/docker/runtime-*/*", "/var/run/runsc", "/run/runsc", "/tmp/sandbox_*/runtime"})
	path := fmt.Sprint("/tmp/go-build", 1234567890)
	for b.Loop() {
		ways.Of(path)
	}
}
