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

func TestSecondServerOnALiveSocket(t *testing.T) {
	bothServers(t, func(w *world, args func(...string) []string) {
		w.start("sb", "idle")
		first := w.startServer(args())
		refused := func() {
			w.t.Helper()
			second := newProgram(w.t, args()...)
			second.exit(w.t, 1)
			begin, end := "sandmeter: listen on "+w.addr+": ", "address already in use: end the program that listens there, or choose another address"
			if got := lastLine(&second.err); !strings.HasPrefix(got, begin) || !strings.HasSuffix(got, end) {
				w.t.Errorf("the second server's last line is\n%s\nwant\n%s%s", got, begin, end)
			}
		}
		refused()
		w.scrape().wantValue(w.t, 1, alwaysThere, "sandbox", "sb")

		// A server that does not reply is running too, even if its backlog is full.
		first.signal(syscall.SIGSTOP)
		refused()
		hangUp := fillBacklog(w.t, w.addr)
		refused()
		hangUp()
		first.signal(syscall.SIGCONT)
		w.until(func() error { return w.client.HealthCheck(w.ctx()) }) // first it serves its backlog
		w.scrape().wantValue(w.t, 1, alwaysThere, "sandbox", "sb")

		w.setAddr(freePort(w.t))
		w.startServer(args())
		refused()
	})
}

// fillBacklog connects to the socket of a stopped server until its backlog is full, and returns a
// function that closes the connections.
func fillBacklog(t *testing.T, path string) (hangUp func()) {
	t.Helper()
	var conns []int
	for {
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		conns = append(conns, fd)
		if err = unix.Connect(fd, &unix.SockaddrUnix{Name: path}); errors.Is(err, unix.EAGAIN) {
			break
		}
		if err != nil || len(conns) > 10_000 {
			t.Fatalf("connection %d to a stopped server: %v", len(conns), err)
		}
	}
	return func() {
		for _, fd := range conns {
			unix.Close(fd)
		}
	}
}

// Of several servers that start at once on the socket of a dead one, exactly one gets it.
func TestServersThatStartAtOnce(t *testing.T) {
	w := newWorld(t)
	w.start("sb", "idle")
	dead := w.startServer(w.serveArgs())
	dead.signal(syscall.SIGKILL)
	dead.wantEnd(ample, -1)

	var servers []*server
	for range 6 {
		servers = append(servers, startServer(t, w.serveArgs()))
	}
	var losers int
	w.until(func() error {
		losers = 0
		for _, s := range servers {
			if s.hasEnded() {
				losers++
			}
		}
		if losers < len(servers)-1 {
			return fmt.Errorf("%d of %d servers go on", len(servers)-losers, len(servers))
		}
		return w.client.HealthCheck(w.ctx())
	})
	for _, s := range servers {
		if s.hasEnded() {
			s.wantExit(t, 1)
			if said := lastLine(&s.err); !strings.Contains(said, "address already in use") {
				t.Errorf("a server that lost says %s", said)
			}
		} else if pid := w.serverPid(); pid != s.Process.Pid {
			t.Errorf("process %d answers, and %d goes on", pid, s.Process.Pid)
		}
	}
	w.scrape().wantValue(t, 1, alwaysThere, "sandbox", "sb")
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
	bothServers(t, func(w *world, args func(...string) []string) {
		w.start("sb", "idle")
		s := w.startServer(args())
		w.scrape().wantValue(w.t, 1, alwaysThere, "sandbox", "sb")
		w.remove("sb")
		w.removeRoot()
		wantRootAwaited(w, s)
	})
}

func TestRootRemovedBeforeAnyScrape(t *testing.T) {
	w := newWorld(t)
	s := w.startServer(w.serveArgs())
	w.removeRoot()
	wantRootAwaited(w, s)
}

// Without a root, serve waits for it; metric-server fails as gVisor's does.
func TestRootMissingAtTheStart(t *testing.T) {
	w := newWorld(t)
	w.removeRoot()
	wantRootAwaited(w, w.startServer(w.serveArgs()))

	w = newWorld(t)
	w.removeRoot()
	s := startServer(t, w.metricServerArgs())
	s.wantEnd(soon, 1)
	want := "sandmeter: read runtime root " + w.root + ": no such file or directory; set the runtime root with --root, or " +
		"allow a missing one with --allow-unknown-root"
	if got := lastLine(&s.err); got != want {
		t.Errorf("the server's last line is\n%s\nwant\n%s", got, want)
	}
	if _, err := os.Lstat(w.addr); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket of a server that ended: %v", err)
	}
}

func TestRootAllowedToBeUnknown(t *testing.T) {
	bothServers(t, func(w *world, args func(...string) []string) {
		w.removeRoot()
		flags := []string{"--linger=0"}
		if args()[0] != "serve" { // which always waits
			flags = append(flags, "--allow-unknown-root")
		}
		s := w.startServer(args(flags...))
		empty := func() {
			w.t.Helper()
			p := w.scrape()
			if got := p.sandboxes(); len(got) > 0 {
				w.t.Errorf("sandboxes without a root: %q", got)
			}
			p.wantValue(w.t, 0, "runsc_meta_num_sandboxes_running")
			p.wantValue(w.t, 0, "runsc_meta_num_sandboxes_broken_metrics")
		}
		serves := func(id string) {
			w.t.Helper()
			p := w.scrape()
			p.wantValue(w.t, 1, alwaysThere, "sandbox", id)
			p.wantValue(w.t, 1, "runsc_meta_num_sandboxes_running")
		}
		empty()
		for _, id := range []string{"one", "two"} {
			w.must(os.Mkdir(w.root, 0o755))
			w.start(id, "idle")
			serves(id)
			w.remove(id)
			w.removeRoot()
			empty()
		}
		w.must(os.Mkdir(w.root, 0o755))
		w.start("three", "idle")
		serves("three")
		w.must(os.Rename(w.root, w.away()))
		if isServe := args()[0] == "serve"; isServe {
			w.scrape().wantValue(w.t, 1, "runsc_meta_num_sandboxes_running") // it runs without its state file
		} else {
			empty()
		}
		w.must(os.Rename(w.away(), w.root))
		serves("three")
		if s.hasEnded() {
			w.t.Errorf("the server ended and said:\n%s", &s.err)
		}
	})
}

// Within a second, without a scrape, the server knows all sandboxes and holds their pidfds.
func TestSandboxesAreNoticedWithoutAScrape(t *testing.T) {
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
