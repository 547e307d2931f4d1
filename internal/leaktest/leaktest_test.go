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

// A recorder is a test that only notes what is said of it.
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

// impatient keeps a test from waiting for what it knows to stay.
func impatient(t *testing.T) {
	before := endTime
	endTime = 50 * time.Millisecond
	t.Cleanup(func() { endTime = before })
}

// check returns what Check says of a test that does as body does.
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
	impatient(t)
	stop := make(chan struct{})
	defer close(stop)
	if got := check(func() { go waitFor(stop) }); !strings.Contains(got, "waitFor") {
		t.Errorf("a goroutine was left, but Check said %q", got)
	}
}

func waitFor(stop chan struct{}) { <-stop }

func TestDescriptorLeft(t *testing.T) {
	impatient(t)
	path := filepath.Join(t.TempDir(), "left")
	got := check(func() {
		f, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { f.Close() })
	})
	if !strings.Contains(got, path) {
		t.Errorf("a descriptor was left, but Check said %q", got)
	}
}
