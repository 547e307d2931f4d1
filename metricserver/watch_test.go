package metricserver

import (
	"context"
	"os"
	"path/filepath"
	"sync"
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
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := watch(ctx, func() []string { return []string{dir} }, func() { looks <- struct{}{} }); err != nil {
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
		case <-time.After(10 * time.Second):
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
	looksAfter("its return", func() error { return os.Mkdir(dir, 0o755) })
	looksAfter("a new file in the new one", write)
}
