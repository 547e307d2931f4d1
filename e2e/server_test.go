package e2e

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// soon is the time limit for a server to notice a change of its runtime root without a scrape, and
// to end. It takes less than a second, except on a slow machine; without inotify it would take up
// to a minute.
const soon = 20 * time.Second

// bothServers runs a test with both server commands.
func bothServers(t *testing.T, test func(w *world, args func(flags ...string) []string)) {
	t.Run("serve", func(t *testing.T) {
		w := newWorld(t)
		test(w, w.serveArgs)
	})
	t.Run("metric-server", func(t *testing.T) {
		w := newWorld(t)
		test(w, w.metricServerArgs)
	})
}

func TestServerKilledRestartsOnItsSocket(t *testing.T) {
	t.Parallel()
	bothServers(t, func(w *world, args func(...string) []string) {
		w.start("sb", "idle")
		for range 2 {
			s := w.startServer(args())
			w.scrape().wantValue(w.t, 1, alwaysThere, "sandbox", "sb")
			s.signal(syscall.SIGKILL)
			s.wantEnd(ample, -1)
			if info, err := os.Lstat(w.addr); err != nil || info.Mode() != os.ModeSocket|0o660 {
				w.t.Errorf("the killed server's socket: %v, %v", info, err)
			}
		}
		s := w.startServer(args())
		w.scrape().wantValue(w.t, 1, alwaysThere, "sandbox", "sb")
		s.signal(syscall.SIGTERM)
		s.wantEnd(ample, 0)
		if _, err := os.Lstat(w.addr); !errors.Is(err, os.ErrNotExist) {
			w.t.Errorf("the socket of a server that ended: %v", err)
		}
	})
}

// removeRoot removes the runtime root. Its sandboxes must be deleted before.
func (w *world) removeRoot() {
	w.t.Helper()
	root := w.root
	// runsc keeps a network namespace mounted in its root.
	if err := unix.Unmount(filepath.Join(root, "null-netns"), 0); err != nil && !errors.Is(err, unix.ENOENT) && !errors.Is(err, unix.EINVAL) {
		w.t.Fatal(err)
	}
	w.must(os.RemoveAll(root))
}

// away returns the path to which a test moves the runtime root.
func (w *world) away() string { return filepath.Join(w.node.Dir(), "away") }

// wantRootAwaited fails the test unless a server goes on without its root, and serves it when it is back.
func wantRootAwaited(w *world, s *server) {
	w.t.Helper()
	w.scrape().wantValue(w.t, 1, "sandmeter_runtime_root_missing")
	w.must(os.Mkdir(w.root, 0o755))
	w.start("later", "idle")
	w.scrape().wantValue(w.t, 1, alwaysThere, "sandbox", "later")
	if s.hasEnded() {
		w.t.Errorf("the server ended and said:\n%s", &s.err)
	}
}

func TestRootRemoved(t *testing.T) {
	t.Parallel()
	bothServers(t, func(w *world, args func(...string) []string) {
		w.start("sb", "idle")
		s := w.startServer(args())
		w.scrape().wantValue(w.t, 1, alwaysThere, "sandbox", "sb")
		w.remove("sb")
		w.removeRoot()
		wantRootAwaited(w, s)
	})
}

// Within a second, without a scrape, the server knows all sandboxes and holds their pidfds.
func TestSandboxesAreNoticedWithoutAScrape(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.start("early", "idle")
	s := w.startServer(w.serveArgs())
	holds := func(want int) {
		t.Helper()
		w.until(func() error {
			if got := pidfds(t, s.Process.Pid); got != want {
				return fmt.Errorf("the server holds %d processes, want %d", got, want)
			}
			return nil
		})
	}
	holds(1)
	w.start("late", "idle")
	holds(2)
	w.remove("early")
	holds(1)
	w.must(os.Rename(w.root, w.away()))
	w.scrape().wantValue(t, 1, "runsc_meta_sandbox_running", "sandbox", "late") // it runs without its state file
	holds(1)
	w.must(os.Rename(w.away(), w.root))
	w.scrape().wantValue(t, 1, alwaysThere, "sandbox", "late")
	holds(1)
}

// pidfds returns the number of processes for which a process has pidfds.
func pidfds(t *testing.T, pid int) int {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, link := range links {
		// A file descriptor that was closed in the meantime does not count.
		if target, err := os.Readlink(link); err == nil && strings.Contains(target, "pidfd") {
			n++
		}
	}
	return n
}
