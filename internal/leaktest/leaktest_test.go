package leaktest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) { Main(m) }

// A recorder is a testing.TB that records cleanups and errors.
type recorder struct {
	testing.TB
	cleanups []func()
	failure  string
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Errorf(format string, args ...any) {
	r.failure += fmt.Sprintf(format, args...)
}

// shortenWait makes leaktest wait only briefly, for tests with a known leak.
func shortenWait(t *testing.T) {
	before := endTime
	endTime = 50 * time.Millisecond
	t.Cleanup(func() { endTime = before })
}

// check returns the error of Check for a test that calls body.
func check(body func()) string {
	var r recorder
	Check(&r)
	body()
	for _, f := range r.cleanups {
		f()
	}
	return r.failure
}

func TestNothingLeft(t *testing.T) {
	got := check(func() {
		go time.Sleep(20 * time.Millisecond)
		f, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		f.Close()
	})
	if got != "" {
		t.Error(got)
	}
}

func TestGoroutineLeft(t *testing.T) {
	shortenWait(t)
	stop := make(chan struct{})
	defer close(stop)
	if got := check(func() { go waitFor(stop) }); !strings.Contains(got, "waitFor") {
		t.Errorf("a goroutine leaked, but Check returned %q", got)
	}
}

func waitFor(stop chan struct{}) { <-stop }

func TestDescriptorLeft(t *testing.T) {
	shortenWait(t)
	path := filepath.Join(t.TempDir(), "left")
	got := check(func() {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
	})
	if !strings.Contains(got, path) {
		t.Errorf("a file descriptor leaked, but Check returned %q", got)
	}
}
