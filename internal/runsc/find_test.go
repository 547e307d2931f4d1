package runsc

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFind(t *testing.T) {
	dir := t.TempDir()
	program := func(name string) string {
		path := filepath.Join(dir, name, "runsc")
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	given, env, onPath := program("given"), program("env"), program("path")
	t.Setenv("PATH", filepath.Dir(onPath))

	t.Setenv(EnvRunsc, env)
	f := func(path, want string) {
		t.Helper()
		got, err := Find(path)
		if err != nil || got != want {
			t.Errorf("Find(%q) = %q, %v; want %q", path, got, err, want)
		}
	}
	f(given, given)
	f("", env)
	t.Setenv(EnvRunsc, "")
	f("", onPath)
	t.Chdir(filepath.Dir(given))
	f("./runsc", given)
}

func TestFindFails(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	f := func(path, env string, want ...string) {
		t.Helper()
		t.Setenv(EnvRunsc, env)
		_, err := Find(path)
		if err == nil {
			t.Errorf("Find(%q) with $%s=%q: no error", path, EnvRunsc, env)
			return
		}
		for _, w := range want {
			if !strings.Contains(err.Error(), w) {
				t.Errorf("Find(%q) with $%s=%q: %q does not say %q", path, EnvRunsc, env, err, w)
			}
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	f("", "", EnvRunsc, filepath.Join(filepath.Dir(self), "runsc"), "PATH", "make build")
	f("", "/nonexistent/runsc", EnvRunsc, "/nonexistent/runsc")
	f("/nonexistent/runsc", "", "/nonexistent/runsc")
}
