package config

import "testing"

func TestDefaultRootDir(t *testing.T) {
	f := func(runtimeDir, want string) {
		t.Helper()
		t.Setenv("XDG_RUNTIME_DIR", runtimeDir)
		if got := DefaultRootDir(); got != want {
			t.Errorf("XDG_RUNTIME_DIR=%q: got %q, want %q", runtimeDir, got, want)
		}
	}
	f("", "/var/run/runsc")
	f("/run/user/1000", "/run/user/1000/runsc")
}
