package metricserver

import (
	"context"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestWatch: what happens in a directory is noticed soon, also when it is removed, and when it is made again.
func TestWatch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	looks := make(chan struct{}, 100)
	var missing atomic.Int32 // rounds that began when the directory did not exist
	dirs := func() []string {
		if _, err := os.Lstat(dir); err != nil {
			missing.Add(1)
		}
		return []string{dir}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := watch(ctx, dirs, func() { looks <- struct{}{} }); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer cancel()
	looksAfter := func(what string, do func() error) {
		t.Helper()
		if err := do(); err != nil {
			t.Fatal(err)
		}
		select {
		case <-looks:
		case <-time.After(rescan / 2): // long for a slow machine, and still no rescan
			t.Fatalf("%s is not noticed", what)
		}
		for quiet := false; !quiet; { // what else belongs to it
			select {
			case <-looks:
			case <-time.After(2 * settle):
				quiet = true
			}
		}
	}
	write := func() error { return os.WriteFile(filepath.Join(dir, "a.state"), nil, 0o644) }
	looksAfter("the start", func() error { return nil })
	looksAfter("a new file", write)
	looksAfter("the end of the directory", func() error { return os.RemoveAll(dir) })
	// Its return is a change only if a round has failed to watch it before. When the second round begins without it, the first has.
	for end := time.Now().Add(ample); missing.Load() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("that it is gone is not noticed")
		}
	}
	looksAfter("its return", func() error { return os.Mkdir(dir, 0o755) })
	looksAfter("a new file in the new one", write)
}
