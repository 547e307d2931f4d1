package testkit

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// ample is longer than anything takes that is not meant to wait, even on a busy machine. It is less than the minute after which a server
// looks at its roots by itself, so that a change that only this finds is found too late.
const ample = 45 * time.Second

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
	Retry(tb, func() error {
		if !holds() {
			return errors.New("not so: " + what)
		}
		return nil
	})
}

// Retry is Until for a check that says why it does not hold. It calls the check again until the check returns nil.
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

// Testdata returns the file of that name in the directory testdata of the package under test.
func Testdata(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}
