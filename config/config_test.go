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

func TestExpandAddress(t *testing.T) {
	f := func(addr, root, want string) {
		t.Helper()
		if got := ExpandAddress(addr, root); got != want {
			t.Errorf("ExpandAddress(%q, %q) = %q, want %q", addr, root, got, want)
		}
	}
	f("", "/run/runsc", "")
	f("localhost:8080", "/run/runsc", "localhost:8080")
	f("%RUNTIME_ROOT%/metrics.sock", "/run/runsc", "/run/runsc/metrics.sock")
	f("%RUNTIME_ROOT%/metrics.sock", "/run/runsc/", "/run/runsc//metrics.sock") // plain replacement, as in runsc
	f("/tmp%RUNTIME_ROOT%%RUNTIME_ROOT%", "/r", "/tmp/r/r")
	f("%runtime_root%", "/r", "%runtime_root%")
}
