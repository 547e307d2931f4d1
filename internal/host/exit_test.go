package host

import (
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/leaktest"
)

// knowledge tells what is known of an exit.
type knowledge string

const (
	pending knowledge = "it may be learned later"
	known   knowledge = "it is known"
	never   knowledge = "it is never known"
)

// checkExit fails the test unless Exit and Settled return what they should.
func checkExit(t *testing.T, what string, p *Process, want knowledge, exit Exit) {
	t.Helper()
	if want != known {
		exit = Exit{}
	}
	got, ok := p.Exit()
	if got != exit || ok != (want == known) || p.Settled() != (want != pending) {
		t.Errorf("%s: the exit is %+v, known: %t, settled: %t, want %+v: %s", what, got, ok, p.Settled(), exit, want)
	}
	if p.End() != nil && (p.pidfd() >= 0) != (want == pending) {
		t.Errorf("%s: the pidfd is %d, and %s", what, p.pidfd(), want)
	}
}

// needStatusOfReaped skips the test if the kernel does not tell how a reaped process ended, or fails it in CI,
// whose kernel does.
func needStatusOfReaped(t *testing.T) {
	t.Helper()
	c := startChild(t)
	fd, err := unix.PidfdOpen(c.pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	c.reap()
	if _, known, _ := heldStatus(fd); !known && os.Getenv("SANDMETER_REQUIRE_RUNSC") == "1" {
		t.Fatal("needs Linux 6.15")
	} else if !known {
		t.Skip("needs Linux 6.15")
	}
}

// asUser calls f on a thread of which the kernel checks the user ID and the capabilities in the
// mask. The other threads keep theirs.
func asUser(t *testing.T, uid int, capabilities uint32, f func()) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		if _, err := unix.SetfsuidRetUid(uid); err != nil {
			t.Error(err)
			return
		}
		header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
		data := [2]unix.CapUserData{{Effective: capabilities, Permitted: capabilities}}
		if err := unix.Capset(&header, &data[0]); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}

// ends are ways to end a process.
var ends = []struct {
	name  string
	start func(testing.TB) *child
	end   func(*child)
	exit  Exit
}{
	{"exit 0", script("exit 0"), (*child).run, Exit{}},
	{"exit 3", script("exit 3"), (*child).run, Exit{Code: 3}},
	{"exit 137", script("exit 137"), (*child).run, Exit{Code: 137}},
	{"exit 143", script("exit 143"), (*child).run, Exit{Code: 143}},
	{"exit 255", script("exit 255"), (*child).run, Exit{Code: 255}},
	{"kill -15", script("kill -15 $$"), (*child).run, Exit{Signal: 15}},
	{"kill -9", startChild, (*child).kill, Exit{Signal: 9}},
}

func script(text string) func(testing.TB) *child {
	return func(t testing.TB) *child {
		t.Helper()
		return startScript(t, text)
	}
}

// TestExit: what is known of an exit while the process is a zombie, and when it has been reaped.
func TestExit(t *testing.T) {
	leaktest.Check(t)
	needStatusOfReaped(t)
	w := newQuietWatcher(t)
	root := func(f func()) { f() }
	user := func(uid int, capabilities uint32) func(func()) {
		return func(f func()) { asUser(t, uid, capabilities, f) }
	}
	withPidfd := func(p *Process) *Process { return p }
	learn := func(what string, as func(func()), hold func(*Process) *Process, zombie, reaped knowledge) {
		t.Helper()
		for _, e := range ends {
			c := e.start(t)
			p := hold(w.Watch(c.pid))
			as(w.Sync)
			checkExit(t, what+", alive", p, pending, Exit{})
			e.end(c)
			if zombie != "" {
				as(w.Sync)
				checkExit(t, what+", "+e.name+", a zombie", p, zombie, e.exit)
				as(w.Sync)
				checkExit(t, what+", "+e.name+", still a zombie", p, zombie, e.exit)
			}
			c.reap()
			as(w.Sync)
			checkExit(t, what+", "+e.name+", reaped", p, reaped, e.exit)
			p.Release()
			checkExit(t, what+", "+e.name+", released", p, reaped, e.exit)
		}
	}
	const unseen = "" // the zombie is reaped before anything looks at it
	learn("root", root, withPidfd, known, known)
	learn("root", root, withPidfd, unseen, known)
	learn("root, no pidfd", root, withoutPidfd, known, known)
	learn("root, no pidfd", root, withoutPidfd, unseen, never)
	learn("root, start unknown", root, unreadable, pending, known)
	learn("root without capabilities", user(0, 0), withPidfd, pending, known) // because the process has some
	learn("nobody", user(65534, 0), withPidfd, pending, known)
	learn("nobody", user(65534, 0), withPidfd, unseen, known)
	learn("nobody, no pidfd", user(65534, 0), withoutPidfd, never, never)
	learn("nobody with CAP_SYS_PTRACE", user(65534, 1<<unix.CAP_SYS_PTRACE), withPidfd, known, known)
	learn("nobody with CAP_SYS_PTRACE, no pidfd", user(65534, 1<<unix.CAP_SYS_PTRACE), withoutPidfd, known, known)
	if len(w.byFD)+len(w.noFD) != 0 {
		t.Errorf("%d and %d processes are left", len(w.byFD), len(w.noFD))
	}
}

// TestExitOfZombie: the exit of a process that is a zombie when Watch is called is learned too.
func TestExitOfZombie(t *testing.T) {
	leaktest.Check(t)
	needStatusOfReaped(t)
	w := newQuietWatcher(t)
	for _, e := range ends {
		c := e.start(t)
		e.end(c)
		p := w.Watch(c.pid)
		checkExit(t, e.name, p, known, e.exit)
		if p.Began().IsZero() {
			t.Errorf("%s: it is not known when the zombie began", e.name)
		}
		var hidden *Process
		asUser(t, 65534, 0, func() { hidden = w.Watch(c.pid) })
		checkExit(t, e.name+", not readable", hidden, pending, e.exit)
		c.reap()
		w.Sync()
		checkExit(t, e.name+", not readable, reaped", hidden, known, e.exit)
		checkExit(t, e.name+", not there", w.Watch(c.pid), never, e.exit)
	}
}

// TestExitOfAnother: a zombie with the PID of the process is not taken for it.
func TestExitOfAnother(t *testing.T) {
	leaktest.Check(t)
	needStatusOfReaped(t)
	w := newQuietWatcher(t)
	another := func(p *Process) *Process {
		w.mu.Lock()
		defer w.mu.Unlock()
		p.start--
		return p
	}
	c := startScript(t, "exit 3")
	blind, held := another(withoutPidfd(w.Watch(c.pid))), another(w.Watch(c.pid))
	c.run()
	w.Sync()
	checkExit(t, "no pidfd", blind, never, Exit{})
	checkExit(t, "a pidfd", held, pending, Exit{})
	if used := held.End().CPU; used != 0 {
		t.Errorf("its CPU time is %v", used)
	}
	other := startChild(t)
	fd, err := unix.PidfdOpen(other.pid, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	began, _, _ := readStart(t, c.pid)
	if z := (&Process{pid: c.pid, start: began, fd: -1}).zombie(); !z.readable || z.status != 3<<8 {
		t.Errorf("%+v is the zombie", z)
	}
	if z := (&Process{pid: c.pid, start: began, fd: fd}).zombie(); z != (zombie{}) {
		t.Errorf("%+v is of a process that has not ended", z)
	}
	other.reap()
	if z := (&Process{pid: c.pid, start: began, fd: fd}).zombie(); z != (zombie{}) {
		t.Errorf("%+v is of a process that has been reaped", z)
	}
}

func readStart(t *testing.T, pid int) (start int64, ended bool, status int) {
	t.Helper()
	stat, err := readProcStat("", pid)
	if err != nil {
		t.Fatal(err)
	}
	return stat.start, stat.ended, stat.status
}

// TestExitReleased: nothing is learned of a released process, and nothing of all after Close.
func TestExitReleased(t *testing.T) {
	leaktest.Check(t)
	needStatusOfReaped(t)
	w := newQuietWatcher(t)
	alive, ended := startChild(t), startChild(t)
	released := w.Watch(alive.pid)
	released.Release()
	checkExit(t, "released alive", released, never, Exit{})
	releasedZombie, zombie := unreadable(w.Watch(ended.pid)), unreadable(w.Watch(ended.pid))
	watched, blind := w.Watch(alive.pid), withoutPidfd(w.Watch(alive.pid))
	ended.kill()
	w.Sync()
	checkExit(t, "a zombie", releasedZombie, pending, Exit{})
	releasedZombie.Release()
	checkExit(t, "released as a zombie", releasedZombie, never, Exit{})
	checkExit(t, "another watch on the zombie", zombie, pending, Exit{})
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	late := w.Watch(alive.pid)
	for what, p := range map[string]*Process{"a zombie": zombie, "alive": watched, "no pidfd": blind, "watched later": late} {
		checkExit(t, "closed, "+what, p, never, Exit{})
	}
	checkExit(t, "closed, watched as a zombie", w.Watch(ended.pid), known, Exit{Signal: 9})
	ended.reap()
	alive.kill()
	w.Sync()
	for what, p := range map[string]*Process{"a zombie": zombie, "released": released, "alive": watched, "no pidfd": blind, "watched later": late} {
		checkExit(t, "later, "+what, p, never, Exit{})
	}
}

// A countingConn counts how often the goroutine of a watcher is woken.
type countingConn struct {
	syscall.RawConn
	wakes *atomic.Int64
}

func (c countingConn) Read(f func(uintptr) bool) error {
	return c.RawConn.Read(func(fd uintptr) bool {
		c.wakes.Add(1)
		return f(fd)
	})
}

// TestUnreapedZombie: a zombie that is held and never reaped wakes nothing.
func TestUnreapedZombie(t *testing.T) {
	leaktest.Check(t)
	needStatusOfReaped(t)
	w := newWatcher(t)
	conn := silence(t, w)
	isReadable := func() bool {
		fds := []unix.PollFd{{Fd: int32(w.epoll), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, 0)
		if err != nil {
			t.Fatal(err)
		}
		return n > 0
	}
	c := startChild(t)
	p := unreadable(w.Watch(c.pid))
	c.kill()
	if !isReadable() {
		t.Error("the end of the process does not wake the goroutine")
	}
	w.Sync()
	if isReadable() {
		t.Error("a zombie keeps the set readable")
	}

	var wakes atomic.Int64
	w.done = make(chan struct{})
	go w.run(countingConn{conn, &wakes})
	const others = 20
	for range others {
		other := startChild(t)
		watched := w.Watch(other.pid)
		other.signal()
		await(t, watched)
		other.reap()
	}
	if got := wakes.Load(); got < 1 || got > 4*others {
		t.Errorf("the goroutine was woken %d times for the ends of %d other processes", got, others)
	}
	checkExit(t, "a zombie", p, pending, Exit{})
	c.reap()
	w.Sync()
	checkExit(t, "reaped", p, known, Exit{Signal: 9})
}

// TestLastCPU: the record of an end has the CPU time of the process, unless it had been reaped.
func TestLastCPU(t *testing.T) {
	leaktest.Check(t)
	w := newQuietWatcher(t)
	c := startScript(t, "i=0; while [ $i -lt 1000 ]; do i=$((i+1)); done")
	first := w.Watch(c.pid)
	hidden, blind := unreadable(w.Watch(c.pid)), withoutPidfd(w.Watch(c.pid))
	c.run()
	want, err := cpuClock(c.pid)
	if err != nil {
		t.Fatal(err)
	}
	late := w.Watch(c.pid)
	asUser(t, 65534, 0, w.Sync) // every user may read it
	for what, p := range map[string]*Process{"a pidfd": first, "no pidfd": blind, "watched as a zombie": late} {
		if got := p.End().CPU.Nanoseconds(); got != want || got == 0 {
			t.Errorf("%s: %d ns, want %d", what, got, want)
		}
	}
	c.reap()
	w.Sync()
	for what, p := range map[string]*Process{"not identified": hidden, "reaped": w.Watch(c.pid)} {
		if got := p.End().CPU; got != 0 {
			t.Errorf("%s: %v", what, got)
		}
	}
}

// TestExitConcurrently: all methods may be called while processes end and are reaped.
func TestExitConcurrently(t *testing.T) {
	leaktest.Check(t)
	needStatusOfReaped(t)
	w := newWatcher(t)
	var busy sync.WaitGroup
	for i, c := range startChildren(t, 20) {
		p := w.Watch(c.pid)
		if i%2 == 0 {
			unreadable(p)
		}
		var calls atomic.Int64
		busy.Go(func() {
			for !p.Settled() {
				p.AtEnd(func() { calls.Add(1) })
				p.AtEnd(nil)
				p.Alive()
				w.Watch(os.Getpid()).Release()
				w.Sync()
				runtime.Gosched()
			}
			if _, ok := p.Exit(); !ok && i%3 != 0 {
				t.Error("the exit of a process that was not released is not known")
			}
		})
		c.kill()
		if i%3 == 0 {
			p.Release()
		}
		c.reap()
	}
	busy.Wait()
}
