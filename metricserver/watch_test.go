package metricserver

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/testkit"
)

// TestWatch: the watch notices changes in a directory soon, and also when the directory is removed
// or created again.
func TestWatch(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	looks := make(chan struct{}, 100)
	var missing atomic.Int32 // rounds that began while the directory did not exist
	dirs := func() []string {
		if _, err := os.Lstat(dir); err != nil {
			missing.Add(1)
		}
		return []string{dir}
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		newWatch(dirs, func(string, string, bool) {}, func() { looks <- struct{}{} }, slog.New(slog.DiscardHandler)).run(ctx)
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
		case <-time.After(rescan / 2): // long for a slow machine, but shorter than rescan
			t.Fatalf("%s is not noticed", what)
		}
		for quiet := false; !quiet; { // drain further looks for the same change
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
	// The new directory counts as a change only if an earlier round failed to watch it. When the
	// second round begins without the directory, the first has failed.
	testkit.Until(t, "two rounds have begun without it", func() bool { return missing.Load() >= 2 })
	looksAfter("its return", func() error { return os.Mkdir(dir, 0o755) })
	looksAfter("a new file in the new one", write)
}

// TestExhaustedInotify: without inotify, or without watches for a directory, the watch looks at the
// roots once per minute, logs advice once, and retries inotify at the same interval.
func TestExhaustedInotify(t *testing.T) {
	check := func(name string, openErr, addErr error, wantOpens, wantAdds int, wantLog string) {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var log testkit.Buffer
				opens, adds, looks := 0, 0, 0
				w := newWatch(func() []string { return []string{"/root"} }, nil, func() { looks++ }, slog.New(slog.NewTextHandler(&log, nil)))
				w.open = func() (*notifier, error) {
					opens++
					add := func(string) error {
						adds++
						return addErr
					}
					return &notifier{add: add, close: func() error { return nil }}, openErr
				}
				ctx, cancel := context.WithTimeout(t.Context(), 3*rescan+time.Second)
				defer cancel()
				w.run(ctx)
				if looks != 4 || opens != wantOpens || adds != wantAdds {
					t.Errorf("%d looks, inotify was opened %d times and asked for %d watches; want 4, %d and %d", looks, opens, adds, wantOpens, wantAdds)
				}
				if got := log.String(); strings.Count(got, "\n") != min(1, len(wantLog)) || !strings.Contains(got, wantLog) {
					t.Errorf("the log is\n%s", got)
				}
			})
		})
	}
	check("instances", unix.EMFILE, nil, 4, 0, "max_user_instances")
	check("watches", nil, unix.ENOSPC, 1, 4, "max_user_watches")
	check("permission", nil, unix.EACCES, 1, 4, "")
}
