package testkit

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// ample is the time limit for conditions, long enough for a busy machine. It is shorter than the
// minute after which a server rescans its roots, so that a test fails if only the rescan notices a
// change.
const ample = 45 * time.Second

// TempDir returns a directory that is removed at the end of the test. Unlike testing.TB.TempDir,
// its path is short, because paths of Unix sockets are limited to 107 bytes.
func TempDir(tb testing.TB) string {
	tb.Helper()
	dir, err := os.MkdirTemp("", "sm")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// Until waits until a condition holds, and fails the test if that takes too long.
func Until(tb testing.TB, what string, holds func() bool) {
	tb.Helper()
	Retry(tb, func() error {
		if !holds() {
			return errors.New("not so: " + what)
		}
		return nil
	})
}

// Retry is Until for a check that returns an error. It calls the check until the result is nil.
func Retry(tb testing.TB, check func() error) {
	tb.Helper()
	for end := time.Now().Add(ample); ; time.Sleep(time.Millisecond) {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			tb.Fatalf("after %v: %v", ample, err)
		}
	}
}

// Testdata returns the content of a file in the directory testdata of the package under test.
func Testdata(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}
