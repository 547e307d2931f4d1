package state

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/leaktest"
)

// A child is a process that waits to be killed.
type child struct {
	t   *testing.T
	cmd *exec.Cmd
	pid int
}

func startChild(t *testing.T) *child {
	t.Helper()
	cmd := exec.Command("sleep", "600")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	c := &child{t, cmd, cmd.Process.Pid}
	t.Cleanup(c.reap)
	return c
}

// kill kills the child and leaves it a zombie.
func (c *child) kill() {
	c.t.Helper()
	if err := unix.Kill(c.pid, unix.SIGKILL); err != nil {
		c.t.Fatal(err)
	}
	until(c.t, "death", func() bool {
		stat, err := readProcStat(c.pid)
		return err == nil && stat.ended
	})
	if err := unix.Kill(c.pid, 0); err != nil {
		c.t.Fatalf("no zombie: %v", err)
	}
}

// reap kills the child and leaves nothing of it.
func (c *child) reap() {
	if c.cmd.ProcessState == nil {
		c.cmd.Process.Kill()
		c.cmd.Wait()
	}
}

// open holds a process until the test ends.
func open(t *testing.T, pid int, started time.Time) *Process {
	p := OpenProcess(pid, started)
	t.Cleanup(p.Close)
	return p
}

// withoutPidfd makes a process one for which no descriptor could be had.
func withoutPidfd(p *Process) *Process {
	p.Close()
	return p
}

// ended polls one process.
func ended(p *Process) bool {
	Poll([]*Process{p}, nil)
	return p.Ended()
}

func TestProcessAtFirstSight(t *testing.T) {
	leaktest.Check(t)
	now := time.Now()
	first := func(what string, pid int, started time.Time, want bool) {
		t.Helper()
		p := open(t, pid, started)
		if p.Ended() != want || ended(p) != want {
			t.Errorf("%s: it is %v that it has ended", what, p.Ended())
		}
		if want && p.pidfd >= 0 {
			t.Errorf("%s: a descriptor is held for it", what)
		}
	}
	alive := startChild(t).pid
	first("alive", alive, now, false)
	first("of a sandbox that is a minute older", alive, now.Add(-time.Minute), false)
	first("of a sandbox that is hours older", alive, now.Add(-3*time.Hour), true)
	first("of a sandbox from the future", alive, now.Add(time.Hour), false)
	first("of a sandbox that does not say when it was started", alive, time.Time{}, false)
	first("none", 0, now, true)
	first("a group", -alive, now, true)
	first("not there", 1<<22, now, true) // the largest pid is one less
	zombie := startChild(t)
	zombie.kill()
	first("a zombie", zombie.pid, now, true)
	zombie.reap()
	first("reaped", zombie.pid, now, true)
	atThread(t, func(tid int) { first("a thread", tid, time.Time{}, true) })
}

// atThread calls f with the ID of a thread that is not the process.
func atThread(t *testing.T, f func(tid int)) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if tid := unix.Gettid(); tid != os.Getpid() {
		f(tid)
		return
	}
	done := make(chan struct{})
	go func() { // on another thread, as this one is taken
		defer close(done)
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		f(unix.Gettid())
	}()
	<-done
}

func TestProcessEnds(t *testing.T) {
	leaktest.Check(t)
	end := func(what string, hold func(*Process) *Process, end func(*child)) {
		t.Helper()
		c := startChild(t)
		p := hold(open(t, c.pid, time.Now()))
		if ended(p) {
			t.Errorf("%s: it has ended while it was alive", what)
		}
		end(c)
		for range 2 {
			if !ended(p) {
				t.Errorf("%s: it has not ended", what)
			}
		}
		if p.pidfd >= 0 {
			t.Errorf("%s: a descriptor is held for it", what)
		}
		p.Close()
		p.Close()
	}
	withPidfd := func(p *Process) *Process { return p }
	end("a zombie", withPidfd, (*child).kill)
	end("reaped", withPidfd, (*child).reap)
	end("a zombie without pidfd", withoutPidfd, (*child).kill)
	end("reaped without pidfd", withoutPidfd, (*child).reap)
}

// TestProcessOfAnother: without a pidfd, a process is told from a later one with its pid by when it started.
func TestProcessOfAnother(t *testing.T) {
	c := startChild(t)
	p := withoutPidfd(open(t, c.pid, time.Now()))
	p.start--
	if !ended(p) {
		t.Error("another process is taken for it")
	}
}

// TestProcessWithoutDescriptors: when the server has no descriptor left, no process has ended for it.
func TestProcessWithoutDescriptors(t *testing.T) {
	leaktest.Check(t)
	alive, killed := startChild(t), startChild(t)
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	low := unix.Rlimit{Cur: 0, Max: limit.Max}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	restore := func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Error(err)
		}
	}
	defer restore()
	if _, err := os.Open(os.DevNull); !errors.Is(err, unix.EMFILE) {
		t.Fatalf("there are descriptors: %v", err)
	}
	processes := []*Process{open(t, alive.pid, time.Now()), open(t, killed.pid, time.Now())}
	for range 2 {
		Poll(processes, nil)
		for _, p := range processes {
			if p.Ended() || p.pidfd >= 0 {
				t.Fatalf("ended is %v, the descriptor %d", p.Ended(), p.pidfd)
			}
		}
	}
	restore()
	killed.kill()
	Poll(processes, nil)
	if processes[0].Ended() || !processes[1].Ended() {
		t.Errorf("ended are %v and %v", processes[0].Ended(), processes[1].Ended())
	}
}

// TestPollMany: each process is told what became of it, and not of its neighbour.
func TestPollMany(t *testing.T) {
	leaktest.Check(t)
	var children []*child
	var processes []*Process
	var want []bool
	add := func(pid int) *Process {
		p := open(t, pid, time.Now())
		processes = append(processes, p)
		return p
	}
	for i := range 6 {
		c := startChild(t)
		children = append(children, c)
		add(c.pid)
		if i%2 == 0 {
			add(0)
		}
		if i%3 == 0 {
			withoutPidfd(add(c.pid))
		}
	}
	dead := func(p *Process) bool { return p.PID == 0 || p.PID == children[1].pid || p.PID == children[3].pid }
	for _, p := range processes {
		want = append(want, dead(p))
	}
	fds := Poll(processes, nil)
	children[1].kill()
	children[3].kill()
	for range 2 {
		var got []bool
		fds = Poll(processes, fds)
		for _, p := range processes {
			got = append(got, p.Ended())
		}
		if !slices.Equal(got, want) {
			t.Errorf("ended are %v, want %v", got, want)
		}
	}
	if fds = Poll(nil, fds); len(fds) != 0 {
		t.Errorf("%d descriptors of no processes", len(fds))
	}
}

func TestParseProcStat(t *testing.T) {
	const tail = " 31490 31490 9805 0 -1 4194304 99 0 0 0 0 0 0 0 20 0 1 0 366412 3133440 359 18446744073709551615 1 1 0\n"
	accept := func(data string, want procStat) {
		t.Helper()
		if got, err := parseProcStat([]byte(data)); err != nil || got != want {
			t.Errorf("%q: %+v, %v, want %+v", data, got, err, want)
		}
	}
	refuse := func(data string) {
		t.Helper()
		if got, err := parseProcStat([]byte(data)); err == nil || got != (procStat{}) {
			t.Errorf("%q: %+v, %v", data, got, err)
		}
	}
	accept("31492 (cat) R"+tail, procStat{start: 366412})
	accept("31492 (cat) S"+tail, procStat{start: 366412})
	accept("31492 (cat) T"+tail, procStat{start: 366412})
	accept("31492 (cat) Z"+tail, procStat{ended: true, start: 366412})
	accept("31492 (cat) X"+tail, procStat{ended: true, start: 366412})
	accept("31492 () S"+tail, procStat{start: 366412})
	accept("31492 (a) Z 1 (\n) S"+tail, procStat{start: 366412})
	refuse("")
	refuse("31492")
	refuse("31492 (cat) S")
	refuse("31492 cat S" + tail)
	refuse("31492 (cat) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1")
	refuse("31492 (cat) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 x 1")
	refuse("31492 (cat) S 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 1 9223372036854775808 1")
}

// TestManyDescriptors: with half of its descriptors in use the server looks in /proc rather than hold one more.
func TestManyDescriptors(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	low := limit
	low.Cur = uint64(2 * fd) // fd is the half, and the next one to be given out is above it
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	p := OpenProcess(os.Getpid(), time.Now())
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if p.pidfd >= 0 || p.Ended() || p.start == 0 {
		t.Errorf("it holds descriptor %d, has ended %v, and began at %d", p.pidfd, p.Ended(), p.start)
	}
	Poll([]*Process{p}, nil)
	if p.Ended() {
		t.Error("it has ended")
	}
}
