package host

import (
	"fmt"
	"net"
	"path"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/leaktest"
)

// TestOOMScope: whose limit a kill was about. The kernel tells of a kill at once, and the cgroup is gone
// when the sandbox's end is noticed.
func TestOOMScope(t *testing.T) {
	const slice = "sys/fs/cgroup/system.slice"
	const events = slice + "/docker-" + dockerID + ".scope/memory.events"
	local := slice + "/memory.events.local"
	type counts struct{ oom, kill, above int }
	check := func(name string, want fact.OOMScope, s Subject, prepare func(*tree), changes ...counts) {
		t.Helper()
		tr := newTree(t, "v2.txt")
		set := func(c counts) {
			tr.write(events, fmt.Sprintf("max 9\noom %d\noom_kill %d\n", c.oom, c.kill))
			tr.write(local, fmt.Sprintf("max 9\noom %d\noom_kill 0\n", c.above))
		}
		set(changes[0])
		prepare(tr)
		m := tr.meter()
		defer m.Close()
		m.mayHold = func() int { return 1 << 20 }
		watched := make(map[int]func())
		s.WatchFile = func(fd int, f func()) func() {
			watched[fd] = f
			return func() { delete(watched, fd) }
		}
		a := tr.open(m, s)
		read(a, 0)
		for _, c := range changes[1:] {
			set(c)
			for _, f := range watched {
				f()
			}
		}
		tr.remove(path.Dir(events))
		tr.endSentry(a)
		finish(a)
		if killed, scope := a.OOMKilled(); killed != (want != "none") || killed && scope != want {
			t.Errorf("%s: killed: %t, scope %q, want %q", name, killed, scope, want)
		}
		a.Close()
		if len(watched) > 1 {
			t.Errorf("%s: %d files are watched after Close", name, len(watched))
		}
	}
	unchanged := func(*tree) {}
	older, young := subject(dockerID), subject(dockerID)
	young.New = true
	check("no kill", "none", older, unchanged, counts{}, counts{})
	check("its limit", fact.OOMSandbox, older, unchanged, counts{}, counts{1, 1, 0})
	check("its limit again", fact.OOMSandbox, older, unchanged, counts{5, 2, 0}, counts{6, 3, 0})
	check("both limits", fact.OOMSandbox, older, unchanged, counts{}, counts{1, 1, 1})
	check("the slice's limit", fact.OOMAncestor, older, unchanged, counts{}, counts{0, 1, 1})
	check("the slice's limit, noticed before", fact.OOMAncestor, older, unchanged, counts{}, counts{0, 0, 1}, counts{0, 1, 1})
	check("the slice's limit of long ago", fact.OOMNode, older, unchanged, counts{0, 0, 7}, counts{0, 1, 7})
	check("the node", fact.OOMNode, older, unchanged, counts{}, counts{0, 1, 0})
	check("a slice that cannot be read", "", older, func(tr *tree) { tr.remove(local) }, counts{}, counts{0, 1, 0})
	check("a part of the hierarchy", "", older, func(tr *tree) { tr.write("sys/fs/cgroup/cgroup.type", "domain\n") }, counts{}, counts{0, 1, 0})
	check("killed before the first reading", "none", older, unchanged, counts{1, 1, 0})
	check("killed before the first reading, new", fact.OOMSandbox, young, unchanged, counts{1, 1, 0})
	check("survived long ago", "none", older, unchanged, counts{1, 1, 0}, counts{2, 1, 0})
}

// TestAncestorsAreShared: the slice of two sandboxes is watched once, and until it is removed.
func TestAncestorsAreShared(t *testing.T) {
	leaktest.Check(t)
	tr := newTree(t, "v2.txt")
	const local = "sys/fs/cgroup/system.slice/memory.events.local"
	tr.write(local, "oom 0\n")
	m := tr.meter()
	defer m.Close()
	m.mayHold = func() int { return 1 << 20 }
	s, watches := subject(dockerID), 0
	s.WatchFile = func(int, func()) func() { watches++; return func() { watches-- } }
	first, second := tr.open(m, s), tr.open(m, s)
	read(first, 0)
	read(second, time.Second)
	if watches != 3 {
		t.Errorf("%d watches, want one per sandbox and one of the slice", watches)
	}
	first.Close()
	second.Close()
	if watches != 1 || len(m.ancestors) != 1 {
		t.Errorf("%d watches of %d ancestors", watches, len(m.ancestors))
	}
}

// TestWatchFile: the function is called once the file has an event, and not after stop.
func TestWatchFile(t *testing.T) {
	leaktest.Check(t)
	told := make(chan string, 9)
	w, err := newWatcherWith(func() { told <- "changed" }, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	fd, urge := urgent(t)
	stop := w.WatchFile(fd, func() { told <- "file" })
	urge()
	if first, second := <-told, <-told; first != "file" || second != "changed" {
		t.Errorf("told of %s and %s", first, second)
	}
	stop()
	urge()
	c := startChild(t)
	w.Watch(c.pid)
	c.kill()
	if got := <-told; got != "changed" { // the child's end
		t.Errorf("told of %s after stop", got)
	}
}

// urgent returns a socket, and a function that makes poll report it like a changed file of a cgroup.
func urgent(t *testing.T) (fd int, urge func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	server, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	raw := func(c net.Conn) (fd int) {
		conn, err := c.(*net.TCPConn).SyscallConn()
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.Control(func(n uintptr) { fd = int(n) })
		return fd
	}
	return raw(server), func() {
		if err := unix.Sendto(raw(client), []byte("!"), unix.MSG_OOB, nil); err != nil {
			t.Error(err)
		}
	}
}
