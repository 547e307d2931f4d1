package host

import (
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/leaktest"
	"github.com/sandmeter/sandmeter/internal/procevents"
)

// withoutStatus makes the watcher learn exits as before Linux 6.13.
func withoutStatus(w *Watcher) *Watcher {
	w.heldStatus = func(int) (int, bool, bool) { return 0, false, false }
	return w
}

// TestExitEvents: which events about a PID tell how a process ended that has been reaped.
func TestExitEvents(t *testing.T) {
	leaktest.Check(t)
	const late, zeroCame = eventWait, zeroWait
	type events []int // statuses; -1: of another process
	check := func(name string, before events, age time.Duration, after events, wait time.Duration, want knowledge, exit Exit, missing int64) {
		t.Helper()
		socket, err := procevents.Open()
		if err != nil {
			needEvents(t, err)
		}
		socket.Close() // no real event arrives: the test makes them
		w := withoutStatus(newQuietWatcher(t))
		w.exits = socket
		defer func() { w.exits = nil }()
		var conclude func()
		var waited time.Duration
		w.after = func(d time.Duration, f func()) { waited, conclude = d, f }
		c := startChild(t)
		p := w.Watch(c.pid)
		tell := func(statuses events, at time.Duration) {
			w.mu.Lock()
			defer w.mu.Unlock()
			for _, s := range statuses {
				if s < 0 {
					w.takeExit(procevents.Exit{PID: c.pid + 1, Status: 9, At: at})
					continue
				}
				w.takeExit(procevents.Exit{PID: c.pid, Status: s, At: at})
			}
		}
		tell(before, monotonic()-age)
		c.kill()
		c.reap()
		w.mu.Lock()
		w.takeEnd(p)
		w.mu.Unlock()
		tell(after, monotonic())
		if waited != wait {
			t.Errorf("%s: waits for %v, want %v", name, waited, wait)
		}
		if conclude != nil {
			conclude()
		}
		checkExit(t, name, p, want, exit)
		if got := w.MissingExitEvents(); got.Value != missing || !got.Known {
			t.Errorf("%s: %+v events are missing, want %d", name, got, missing)
		}
	}
	const now = 0
	check("a signal", events{9}, now, nil, 0, known, Exit{Signal: 9}, 0)
	check("a signal, after the end", nil, now, events{9}, late, known, Exit{Signal: 9}, 0)
	check("a code", events{3 << 8}, now, nil, 0, known, Exit{Code: 3}, 0)
	check("0", events{0}, now, nil, zeroCame, known, Exit{}, 0)
	check("0, after the end", nil, now, events{0}, zeroCame, known, Exit{}, 0)
	check("a thread executed a program, long before", events{0}, time.Hour, nil, late, never, Exit{}, 1)
	check("a thread executed a program, before a signal", events{0}, now, events{9}, zeroCame, known, Exit{Signal: 9}, 0)
	check("a thread executed a program, long before a signal", events{0}, time.Hour, events{9}, late, known, Exit{Signal: 9}, 0)
	check("another process", events{-1}, now, events{-1}, late, never, Exit{}, 1)
	check("nothing", nil, now, nil, late, never, Exit{}, 1)
}

// takeEnd records the end of a process that has been reaped, as the epoll set reports it.
func (w *Watcher) takeEnd(p *Process) {
	w.take(unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLHUP, Fd: int32(p.fd)}, time.Now())
}

// needEvents skips the test where the kernel sends no events.
func needEvents(t *testing.T, err error) {
	t.Helper()
	if os.Getenv("SANDMETER_REQUIRE_RUNSC") != "" {
		t.Fatal(err)
	}
	t.Skip(err)
}

// TestRealExitEvents: a process that was reaped before anything looked at it.
func TestRealExitEvents(t *testing.T) {
	leaktest.Check(t)
	told := make(chan struct{}, 1)
	socket, err := procevents.Open()
	if err != nil {
		needEvents(t, err)
	}
	w, err := newWatcherWith(func() {
		select {
		case told <- struct{}{}:
		default:
		}
	}, socket)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	withoutStatus(w)
	for _, e := range ends {
		c := e.start(t)
		p := w.Watch(c.pid)
		w.mu.Lock() // so that the watcher finds it reaped
		e.end(c)
		c.reap()
		w.mu.Unlock()
		for !p.Settled() {
			<-told
		}
		checkExit(t, e.name, p, known, e.exit)
	}
	if n := w.MissingExitEvents(); n.Value != 0 || !n.Known {
		t.Errorf("%+v events are missing", n)
	}
}

// TestKernelTellsOfReaped: the release decides.
func TestKernelTellsOfReaped(t *testing.T) {
	for release, want := range map[string]bool{
		"5.10.0-32-amd64": false, "6.1.0": false, "6.14.9": false, "6.15.0-rc1": true, "6.18.44-fc": true, "7.0": true, "": false,
	} {
		if got := tellsOfReaped([]byte(release)); got != want {
			t.Errorf("%q: %t", release, got)
		}
	}
}

// TestSources: the sources of a server that may do everything, and of one that receives no events.
func TestSources(t *testing.T) {
	w := newWatcher(t)
	w.tellsOfReaped = false
	for _, source := range w.Sources() {
		if source != SourceZombie {
			t.Errorf("source %s without events and a recent kernel", source)
		}
	}
	w.tellsOfReaped = true
	if sources := w.Sources(); len(sources) == 0 || sources[0] != SourcePIDFD {
		t.Errorf("sources %q", sources)
	}
}
