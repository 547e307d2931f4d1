package control

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// TestAddress has a case for each kind of file at the paths of a control socket.
func TestAddress(t *testing.T) {
	w := newWorld(t)
	live := w.start(simulate.Spec{ID: "live"}).SocketPath()
	missing := w.path("missing")
	file, refusing, datagrams, link := w.path("file"), w.path("refusing"), w.path("datagrams"), w.path("link")
	w.must(os.WriteFile(file, []byte("{}"), 0o644))
	w.must(os.Symlink(live, link))
	w.refusing(refusing)
	w.datagrams(datagrams)
	long := w.path(strings.Repeat("long/", 30))
	w.must(os.MkdirAll(long, 0o755))
	longLive := filepath.Join(long, "live")
	w.start(simulate.Spec{ID: "long", ControlSocket: longLive})

	replies := func(path, fallback string) {
		t.Helper()
		a := NewAddress(path, fallback)
		if q := w.ask(probeAt(a)); !q.honest() {
			t.Errorf("at %q or %q: %q, %v", path, fallback, q.reply, q.failure)
		}
		if l, err := a.Listener(Dir{}); err != nil || l.PID != os.Getpid() || l.PIDFD < 0 || unix.Close(l.PIDFD) != nil {
			t.Errorf("at %q or %q: %+v, %v", path, fallback, l, err)
		}
	}
	unreachable := func(path, fallback string, want error) {
		t.Helper()
		a := NewAddress(path, fallback)
		if q := w.ask(probeAt(a)); !q.failed(failure.Unreachable) || !q.is(want) {
			t.Errorf("at %q or %q: %q, %v, want %v", path, fallback, q.reply, q.failure, want)
		}
		if l, err := a.Listener(Dir{}); !errors.Is(err, want) && !(err == errLink && want == unix.ENOENT) || l != (Listener{PIDFD: -1}) {
			t.Errorf("at %q or %q: %+v, %v, want %v", path, fallback, l, err, want)
		}
	}

	replies(live, "")
	if q := w.ask(probeAt(NewAddress(link, ""))); !q.honest() {
		t.Errorf("at a link: %q, %v", q.reply, q.failure)
	}
	if l, err := NewAddress(link, "").Listener(Dir{}); err != errLink {
		t.Errorf("the listener at a link: %+v, %v", l, err)
	}
	var st unix.Stat_t
	w.must(unix.Stat(filepath.Dir(live), &st))
	if l, err := NewAddress(live, "").Listener(Dir{st.Dev, st.Ino}); err != nil || unix.Close(l.PIDFD) != nil {
		t.Errorf("the listener in the right directory: %+v, %v", l, err)
	}
	if l, err := NewAddress(live, "").Listener(Dir{st.Dev, st.Ino + 1}); err != errMoved {
		t.Errorf("the listener in another directory: %+v, %v", l, err)
	}
	replies(longLive, "")
	for i, length := range []int{107, 108} { // connect(2) takes 107 bytes
		path := w.path(strings.Repeat("x", length-len(w.root)-1))
		w.start(simulate.Spec{ID: fmt.Sprint("length-", i), ControlSocket: path})
		replies(path, "")
	}
	unreachable(missing, "", unix.ENOENT)
	unreachable("", "", unix.ENOENT)
	unreachable(file, "", unix.ECONNREFUSED)
	unreachable(refusing, "", unix.ECONNREFUSED)
	unreachable(datagrams, "", unix.EPROTOTYPE)
	unreachable(filepath.Join(long, "missing"), "", unix.ENOENT)
	unreachable("/"+strings.Repeat("x", 5000), "", unix.ENAMETOOLONG)

	// A path that is not absolute is refused, even if there is a socket at it or at the second
	// path.
	w.Chdir(w.root)
	for _, path := range []string{filepath.Base(live), "./" + filepath.Base(live), "@live", "\x00live"} {
		unreachable(path, "", errRelative)
		unreachable(path, live, errRelative)
	}

	// The second path is used only if nothing is at the first.
	replies(missing, live)
	replies("", live)
	replies(live, refusing)
	unreachable(refusing, live, unix.ECONNREFUSED)
	unreachable(missing, refusing, unix.ECONNREFUSED)
}

// TestListenerWithFullBacklog: if the backlog is full, Listener cannot tell which process listens.
func TestListenerWithFullBacklog(t *testing.T) {
	w := newWorld(t)
	s := w.start(simulate.Spec{ID: "a", Frozen: true})
	w.fillBacklog(s)
	if l, err := NewAddress(s.SocketPath(), "").Listener(Dir{}); err != unix.EAGAIN {
		t.Errorf("%+v, %v", l, err)
	}
}

// TestPeer: each query gets one call of Connected with the listening process, and may refuse it
// before the request is sent.
func TestPeer(t *testing.T) {
	w := newWorld(t)
	here, child := w.start(simulate.Spec{ID: "here"}), w.start(simulate.Spec{ID: "child", OwnProcess: true})
	accept := func(s *simulate.Sandbox) {
		t.Helper()
		if q := w.ask(newProbe(s.SocketPath())); !q.honest() || !slices.Equal(q.peers, []int{s.PID()}) {
			t.Errorf("%s: %v, %v, want process %d", s.ID(), q.peers, q.failure, s.PID())
		}
	}
	accept(here)
	accept(child)

	refuse := func(what string, refuse func(int) *failure.Failure, want failure.Reason) {
		t.Helper()
		q := newProbe(here.SocketPath())
		q.refuse = refuse
		if w.ask(q); !q.failed(want) || q.reads > 0 || q.ends != 1 || here.Stats().Queries != 1 {
			t.Errorf("%s: %v, %d reads, %d ends, %d requests in all", what, q.failure, q.reads, q.ends, here.Stats().Queries)
		}
	}
	refuse("another process", func(int) *failure.Failure { return failure.Newf(failure.WrongPeer, "not you") }, failure.WrongPeer)
	refuse("a panic", func(int) *failure.Failure { panic("a defect") }, failure.Internal)
}

// refusing makes a socket on which no process listens any more.
func (w *world) refusing(path string) {
	w.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	w.must(err)
	l.SetUnlinkOnClose(false)
	w.must(l.Close())
}

// datagrams makes a socket of another kind.
func (w *world) datagrams(path string) {
	w.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	w.must(err)
	w.Cleanup(func() { c.Close() })
}

// fillBacklog connects to a frozen sandbox until its backlog is full.
func (w *world) fillBacklog(s *simulate.Sandbox) {
	w.Helper()
	for range 1000 {
		if !w.connect(s.SocketPath()) {
			return
		}
	}
	w.Fatal("the backlog is never full")
}

// connect connects to a socket until the test ends, and reports whether its backlog has room.
func (w *world) connect(path string) bool {
	w.Helper()
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	w.must(err)
	w.Cleanup(func() { unix.Close(fd) })
	if err = unix.Connect(fd, &unix.SockaddrUnix{Name: path}); err == unix.EAGAIN {
		return false
	}
	w.must(err)
	return true
}
