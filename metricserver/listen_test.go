package metricserver

import (
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/user"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/leaktest"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// refused fails the test unless a server at an address ends at once with this error.
func (w *world) refused(o Options, want string) {
	w.Helper()
	r, err := w.tryRun(w.server(o))
	if err == nil {
		w.Errorf("%q: it listens on %v", o.Addresses, r.addr)
		return
	}
	if err.Error() != want {
		w.Errorf("got error\n\t%v\nwant\n\t%s", err, want)
	}
}

// TestHosts: on a loopback address, the server rejects requests for other hosts than those of its options, for
// example from a browser (DNS rebinding), also if it has other listeners. On these it serves any host.
func TestHosts(t *testing.T) {
	w := newWorld(t)
	loopback, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	unix, err := net.Listen("unix", w.path("socket"))
	w.must(err)
	all, err := net.Listen("tcp", ":0")
	w.must(err)
	r := w.run(w.server(Options{Addresses: []string{"node7.example:19640"}, AllowedHosts: []string{"proxy"}}), loopback, unix, all)
	check := func(l net.Listener, host string, want int) {
		t.Helper()
		request, err := http.NewRequest(http.MethodGet, r.url("/-/healthy"), nil)
		w.must(err)
		request.Host = host
		client := newClient(l.Addr(), nil)
		defer client.CloseIdleConnections()
		response, err := client.Do(request)
		w.must(err)
		response.Body.Close()
		if response.StatusCode != want {
			t.Errorf("%v: %d for host %s, want %d", l.Addr(), response.StatusCode, host, want)
		}
	}
	check(loopback, "evil.example:80", http.StatusForbidden)
	for _, host := range []string{"localhost:80", "proxy:80", "node7.example:19640"} {
		check(loopback, host, http.StatusOK)
	}
	check(unix, "evil.example", http.StatusOK)
	check(all, "evil.example", http.StatusOK)
}

func TestAddressErrors(t *testing.T) {
	w := newWorld(t)
	check := func(address, want string) {
		t.Helper()
		w.refused(Options{Addresses: []string{address}}, "listen on "+address+": "+want)
	}
	check("192.0.2.1:0", "bind: cannot assign requested address: choose an address of this machine")

	inUse, err := net.Listen("tcp", "127.0.0.1:0")
	w.must(err)
	defer inUse.Close()
	check(inUse.Addr().String(), "bind: address already in use: end the program that listens there, or choose another address")

	missing := w.path("missing")
	check(missing+"/socket", "open "+missing+": no such file or directory: create the directory, or choose another address")
	file := w.path("file")
	w.must(os.WriteFile(file, nil, 0o644))
	check(file+"/socket", "open "+file+": not a directory")
}

func TestPathLength(t *testing.T) {
	w := newWorld(t)
	path := func(length int) string { return w.path(strings.Repeat("x", length-len(w.dir)-1)) }
	w.run(w.server(Options{Addresses: []string{path(107)}})).healthy()
	w.refused(Options{Addresses: []string{path(108)}},
		"listen on "+path(108)+": the path has 108 bytes, and a Unix socket's at most 107: choose a shorter one")
}

// TestSocketAccess: the socket has the configured mode, whatever the umask is, and the configured
// group.
func TestSocketAccess(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root, to have several groups")
	}
	w := newWorld(t)
	daemon, err := user.LookupGroupId("1")
	w.must(err)
	check := func(umask int, o Options, wantMode fs.FileMode, wantGroup uint32) {
		t.Helper()
		o.Addresses = []string{w.path("socket")}
		defer syscall.Umask(syscall.Umask(umask))
		r := w.run(w.server(o))
		info, err := os.Stat(w.path("socket"))
		w.must(err)
		if got := info.Mode(); got != wantMode|fs.ModeSocket {
			t.Errorf("umask %04o, mode %04o: the socket has %v, want %v", umask, o.SocketMode, got, wantMode|fs.ModeSocket)
		}
		if got := info.Sys().(*syscall.Stat_t).Gid; got != wantGroup {
			t.Errorf("group %q: the socket has %d, want %d", o.SocketGroup, got, wantGroup)
		}
		w.must(r.stop())
	}
	own := uint32(os.Getegid())
	for _, umask := range []int{0, 0o777} {
		check(umask, Options{}, 0o660, own)
		check(umask, Options{SocketMode: 0o666, SocketGroup: daemon.Name}, 0o666, 1)
		check(umask, Options{SocketGroup: "12345"}, 0o660, 12345)
	}
	w.refused(Options{Addresses: []string{w.path("socket")}, SocketGroup: "no-such-group"},
		"listen on "+w.path("socket")+`: there is no group "no-such-group" for the socket: name one that exists, or its number`)
	w.nothingAt(w.path("socket"))
}

// leaveSocket creates a stale socket, like a server that was killed.
func (w *world) leaveSocket(path string) {
	w.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	w.must(err)
	l.SetUnlinkOnClose(false)
	w.must(l.Close())
}

func TestLiveSocketIsLeft(t *testing.T) {
	const inUse = ": address already in use: end the program that listens there, or choose another address"
	t.Run("of somebody whose backlog is full", func(t *testing.T) {
		leaktest.Check(t)
		w := newWorld(t)
		path := w.path("socket")
		fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		w.must(err)
		defer unix.Close(fd)
		w.must(unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
		w.must(unix.Listen(fd, 0))
		for full := false; !full; {
			c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
			w.must(err)
			defer unix.Close(c)
			full = unix.Connect(c, &unix.SockaddrUnix{Name: path}) == unix.EAGAIN
		}
		w.refused(Options{Addresses: []string{path}}, "listen on "+path+inUse)
		if _, err := os.Lstat(path); err != nil {
			t.Error(err)
		}
	})
	t.Run("of another kind", func(t *testing.T) {
		w := newWorld(t)
		path := w.path("socket")
		c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
		w.must(err)
		defer c.Close()
		w.refused(Options{Addresses: []string{path}}, "listen on "+path+inUse)
	})
}

func TestWhatIsNoSocketIsLeft(t *testing.T) {
	w := newWorld(t)
	file, link, dangling := w.path("file"), w.path("link"), w.path("dangling")
	w.must(os.WriteFile(file, []byte("precious"), 0o644))
	w.leaveSocket(w.path("stale"))
	w.must(os.Symlink(w.path("stale"), link))
	w.must(os.Symlink(w.path("missing"), dangling))
	for _, path := range []string{file, link, dangling} {
		before, err := os.Lstat(path)
		w.must(err)
		w.refused(Options{Addresses: []string{path}}, "listen on "+path+": a file that is not a socket is there: remove it, or choose another address")
		if after, err := os.Lstat(path); err != nil || !os.SameFile(before, after) || before.ModTime() != after.ModTime() {
			t.Errorf("%s was changed: %v", path, err)
		}
	}
	w.nothingAt(w.path("missing"))
}

// TestServersStartingAtOnce: if several servers start at the same time, exactly one gets the
// socket, with or without a stale socket.
func TestServersStartingAtOnce(t *testing.T) {
	w := newWorld(t)
	for round := range 10 {
		path := w.path("socket")
		if round%2 == 0 {
			w.leaveSocket(path)
		}
		const servers = 4
		runs := make([]*run, servers)
		errs := make([]error, servers)
		var starting sync.WaitGroup
		for i := range servers {
			starting.Go(func() { runs[i], errs[i] = w.tryRun(w.server(Options{Addresses: []string{path}})) })
		}
		starting.Wait()
		var winner *run
		for i := range servers {
			switch {
			case errs[i] == nil && winner == nil:
				winner = runs[i]
			case errs[i] == nil:
				t.Errorf("round %d: two have it", round)
			case !errors.Is(errs[i], syscall.EADDRINUSE):
				t.Errorf("round %d: %v", round, errs[i])
			}
		}
		if winner == nil {
			t.Fatalf("round %d: nobody has it: %v", round, errs)
		}
		winner.healthy()
		w.must(winner.stop())
		w.nothingAt(path)
	}
}

// TestStartsWhileAnotherStops: the second server either fails because the address is in use, or
// gets the socket and keeps it.
func TestStartsWhileAnotherStops(t *testing.T) {
	w := newWorld(t)
	path := w.path("socket")
	first := w.run(w.server(Options{Addresses: []string{path}}))
	for range 10 {
		first.cancel()
		var second *run
		testkit.Until(w, "the second one gets the socket", func() bool {
			r, err := w.tryRun(w.server(Options{Addresses: []string{path}}))
			if err != nil && !errors.Is(err, syscall.EADDRINUSE) {
				t.Fatal(err)
			}
			second = r
			return err == nil
		})
		w.must(first.wait())
		second.healthy()
		first = second
	}
}

// TestSomebodyElsesSocketIsLeft: when the server ends, it does not remove a socket of another
// program.
func TestSomebodyElsesSocketIsLeft(t *testing.T) {
	w := newWorld(t)
	path := w.path("socket")
	r := w.run(w.server(Options{Addresses: []string{path}}))
	w.must(os.Remove(path))
	other, err := net.Listen("unix", path)
	w.must(err)
	defer other.Close()
	w.must(r.stop())
	if _, err := os.Lstat(path); err != nil {
		t.Errorf("it is gone: %v", err)
	}
	w.must(other.Close()) // and of none at all
	r = w.run(w.server(Options{Addresses: []string{path}}))
	w.must(os.Remove(path))
	w.must(r.stop())
}

// TestLockedDirectory: if another program holds a lock on the directory of the socket, the start is
// delayed but succeeds.
func TestLockedDirectory(t *testing.T) {
	w := newWorld(t)
	dir, err := os.Open(w.dir)
	w.must(err)
	defer dir.Close()
	w.must(unix.Flock(int(dir.Fd()), unix.LOCK_EX))
	began := time.Now()
	l, err := listen(w.path("socket"), 0o660, "")
	w.must(err)
	w.must(l.Close())
	if took := time.Since(began); took < lockTimeout {
		t.Errorf("it waited for %v, want %v", took, lockTimeout)
	}
}
