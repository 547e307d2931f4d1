package testkit

import (
	"os"
	"testing"
	"time"
)

// ample is longer than anything takes that is not meant to wait, also on a busy machine.
const ample = 20 * time.Second

// TempDir returns a directory that is removed at the end of the test. Unlike that of testing.TB, its path is short: the paths of sockets
// are limited.
func TempDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "sm")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Until waits until a condition holds, and ends the test if it does not soon.
func Until(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	for end := time.Now().Add(ample); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			tb.Fatalf("after %v still not so: %s", ample, what)
		}
	}
}
