package config

import (
	"strings"
	"testing"
)

// TestFinalMetricsLog has the patterns that real sandboxes were created with, and the files that
// runsc wrote.
func TestFinalMetricsLog(t *testing.T) {
	f := func(pattern, id, want string) {
		t.Helper()
		if err := CheckFinalMetricsLog(pattern); err != nil {
			t.Errorf("%q: %v", pattern, err)
		}
		if got, err := FinalMetricsLog(pattern, id); err != nil || got != want {
			t.Errorf("%q of %q: got %q, %v, want %q", pattern, id, got, err, want)
		}
	}
	f("/run/final/%ID%.log", "a.B_c+d-1", "/run/final/a.B_c+d-1.log")
	f("/run/final/%COMMAND%-%ID%.log", "pod", "/run/final/boot-pod.log")
	f("/run/final/%ID%-%CID%", "a", "/run/final/a-a")
	f("/run/final/%CID%", "a", "/run/final/a")
	f("/run/final/%ID%/log", "a", "/run/final/a/log")
	f("/run/final/%ID%.log", "..", "/run/final/...log")
	f("/run/final/%ID%", "%COMMAND%", "/run/final/%COMMAND%") // replaced once
}

func TestFinalMetricsLogRefusesPatterns(t *testing.T) {
	f := func(pattern, want string) {
		t.Helper()
		if err := CheckFinalMetricsLog(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", pattern, err, want)
		}
	}
	f("", "absolute")
	f("%ID%.log", "absolute")
	f("./%ID%.log", "absolute")
	f("/run/final.log", "add %ID%")
	f("/run/final/%id%.log", "add %ID%")
	f("/run/final/%ID%.%TIMESTAMP%.log", "no placeholders")
	f("/run/final/%ID%%TEST%", "no placeholders")
	f("/run/final/100%/%ID%", "no placeholders")
	f("/run/final/%%ID%%", "no placeholders")
	f("/run/final/%ID%/", "write the path as /run/final/%ID%")
	f("/run//final/%ID%", "write the path as /run/final/%ID%")
	f("/run/final/../%ID%", "write the path as /run/%ID%")
}

// TestFinalMetricsLogStaysInItsDirectory: no ID leads out of the directory.
func TestFinalMetricsLogStaysInItsDirectory(t *testing.T) {
	f := func(pattern, id string) {
		t.Helper()
		if got, err := FinalMetricsLog(pattern, id); err == nil {
			t.Errorf("%q of %q: got %q", pattern, id, got)
		}
	}
	f("/run/final/%ID%.log", "")
	f("/run/final/%ID%.log", "a/b")
	f("/run/final/%ID%.log", "../../etc/x")
	f("/run/final/%ID%.log", "a\x00b")
	f("/run/final/%ID%", ".")
	f("/run/final/%ID%", "..")
	f("/run/final/%ID%/log", "..")
}
