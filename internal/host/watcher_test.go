package host

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/leaktest"
)

// TestFirstSight checks the results of Watch and Look, which Sync does not change.
func TestFirstSight(t *testing.T) {
	leaktest.Check(t)
	w := newWatcher(t)
	first := func(what string, pid int, ended bool) {
		t.Helper()
		p := w.Watch(pid)
		defer p.Release()
		if p.PID() != pid {
			t.Errorf("%s: the pid is %d, want %d", what, p.PID(), pid)
		}
		check(t, what, p, ended)
		w.Sync()
		check(t, what+", synchronized", p, ended)
	}
	alive := startChild(t).pid
	first("alive", alive, false)
	first("none", 0, true)
	first("a group", -alive, true)
	first("not there", 1<<22, true) // the largest pid is one less
	zombie := startChild(t)
	zombie.kill()
	first("a zombie", zombie.pid, true)
	zombie.reap()
	first("reaped", zombie.pid, true)
	atThread(t, func(tid int) { first("a thread", tid, true) })
}

// TestBegan: Began returns when the process began, by the wall clock.
func TestBegan(t *testing.T) {
	leaktest.Check(t)
	w := newWatcher(t)
	const tick = time.Second / clockTicks
	before := time.Now().Add(-2 * tick)
	c := startChild(t)
	after := time.Now().Add(2 * tick)
	check := func(what string, began time.Time) {
		t.Helper()
		if began.Before(before) || began.After(after) {
			t.Errorf("%s: it began at %v, want a time from %v to %v", what, began, before, after)
		}
	}
	p := w.Watch(c.pid)
	check("a process", p.Began())
	check("without a pidfd", withoutPidfd(w.Watch(c.pid)).Began())
	c.reap()
	w.Sync()
	check("ended", p.Began())
	if began := w.Watch(c.pid).Began(); !began.IsZero() {
		t.Errorf("of a process that was never there, it is %v", began)
	}
}

// TestBeganBefore: whether a process began before another does not depend on when that is asked.
func TestBeganBefore(t *testing.T) {
	leaktest.Check(t)
	w := newWatcher(t)
	self, c := w.Watch(os.Getpid()), startChild(t)
	child := w.Watch(c.pid)
	for range 1000 {
		if self.BeganBefore(os.Getpid()) {
			t.Fatal("a process began before itself")
		}
	}
	if child.BeganBefore(os.Getpid()) {
		t.Error("a child began before its parent")
	}
	if !w.Watch(os.Getppid()).BeganBefore(c.pid) {
		t.Error("a parent did not begin before the child of its child")
	}
	if child.BeganBefore(0) || w.Watch(0).BeganBefore(os.Getpid()) {
		t.Error("a process that is not there began before or after another")
	}
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

// TestSync: an end is recorded by the next Sync at the latest, once and for all.
func TestSync(t *testing.T) {
	leaktest.Check(t)
	w := newQuietWatcher(t)
	end := func(what string, hold func(*Process) *Process, end func(*child)) {
		t.Helper()
		c := startChild(t)
		p := hold(w.Watch(c.pid))
		w.Sync()
		check(t, what+", alive", p, false)
		before := time.Now()
		end(c)
		check(t, what+", before Sync", p, false)
		w.Sync()
		check(t, what, p, true)
		record := p.End()
		if record.Observed.Before(before) || record.Observed.After(time.Now()) {
			t.Errorf("%s: observed at %v, want a time since %v", what, record.Observed, before)
		}
		w.Sync()
		p.Release()
		p.Release()
		check(t, what+", released", p, true)
		if p.End() != record {
			t.Errorf("%s: the record changed", what)
		}
	}
	withPidfd := func(p *Process) *Process { return p }
	end("a zombie", withPidfd, (*child).kill)
	end("reaped", withPidfd, (*child).reap)
	end("a zombie without pidfd", withoutPidfd, (*child).kill)
	end("reaped without pidfd", withoutPidfd, (*child).reap)
	if len(w.byFD)+len(w.noFD) != 0 {
		t.Errorf("%d and %d processes are left", len(w.byFD), len(w.noFD))
	}
}

// TestSyncMany: each process gets its own end, and not that of its neighbor, also where ends fill
// more than a batch.
func TestSyncMany(t *testing.T) {
	leaktest.Check(t)
	w := newQuietWatcher(t)
	children := startChildren(t, 8)
	var processes []*Process
	var want, got []bool
	for i := range 3 * batch {
		c := i % len(children)
		p := w.Watch(children[c].pid)
		if i%5 == 0 {
			withoutPidfd(p)
		}
		processes = append(processes, p)
		want = append(want, c%4 != 0)
	}
	w.Sync()
	for i, p := range processes {
		check(t, "alive", processes[i], false)
		if i%7 == 0 {
			p.Release()
			want[i] = false
		}
	}
	for i, c := range children {
		if i%4 != 0 {
			c.kill()
		}
	}
	w.Sync()
	for _, p := range processes {
		got = append(got, isDone(p))
	}
	if !slices.Equal(got, want) {
		t.Errorf("ended are %v, want %v", got, want)
	}
}

// TestReleased: the end of a released process is not observed, and is not taken for the end of the
// process whose pidfd has its number now.
func TestReleased(t *testing.T) {
	leaktest.Check(t)
	w := newQuietWatcher(t)
	first, second := startChild(t), startChild(t)
	released := w.Watch(first.pid)
	number := released.pidfd()
	inherited, err := unix.FcntlInt(uintptr(number), unix.F_DUPFD_CLOEXEC, 0) // as a child has it that was just forked
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(inherited)
	released.Release()
	p := w.Watch(second.pid)
	for p.pidfd() < number { // lower numbers may have become free
		p = w.Watch(second.pid)
	}
	if p.pidfd() != number {
		t.Fatalf("the pidfd is %d, want %d again", p.pidfd(), number)
	}
	released.Release()
	first.kill()
	w.Sync()
	check(t, "released", released, false)
	check(t, "with its number", p, false)
	second.kill()
	w.Sync()
	check(t, "released", released, false)
	check(t, "with its number, killed", p, true)

	blind := withoutPidfd(w.Watch(startChild(t).pid))
	blind.Release()
	if len(w.noFD) != 0 {
		t.Error("a released process without pidfd is kept")
	}
}

// TestAlive: whether a process is alive is known before its end is recorded.
func TestAlive(t *testing.T) {
	leaktest.Check(t)
	w := newQuietWatcher(t)
	with := func(what string, hold func(*Process) *Process, recorded bool) {
		t.Helper()
		c := startChild(t)
		p := hold(w.Watch(c.pid))
		expect := func(when string, alive, ended bool) {
			t.Helper()
			if p.Alive() != alive || (p.End() != nil) != ended {
				t.Errorf("%s, %s: alive is %v, the record is %+v", what, when, p.Alive(), p.End())
			}
		}
		expect("alive", true, false)
		c.kill()
		expect("a zombie", false, false)
		c.reap()
		expect("reaped", false, false)
		w.Sync()
		expect("synchronized", false, recorded)
		p.Release()
		expect("released", false, recorded)
	}
	with("a pidfd", func(p *Process) *Process { return p }, true)
	with("no pidfd", withoutPidfd, true)
	with("released", func(p *Process) *Process { p.Release(); return p }, false)
}

// TestAnother: without a pidfd, the start time distinguishes a process from a later one with the
// same pid.
func TestAnother(t *testing.T) {
	w := newWatcher(t)
	p := withoutPidfd(w.Watch(startChild(t).pid))
	w.mu.Lock()
	p.start--
	w.mu.Unlock()
	if p.Alive() {
		t.Error("another process with its pid is taken for it")
	}
	w.Sync()
	check(t, "another process with its pid", p, true)
}

// TestEndedBeforeWatched: the end of a process is observed if it ends at any moment during Watch.
func TestEndedBeforeWatched(t *testing.T) {
	leaktest.Check(t)
	w := newWatcher(t)
	for range 100 {
		c := startChild(t)
		go c.signal()
		await(t, w.Watch(c.pid))
		c.reap()
	}
}

// TestClose: a closed Watcher holds nothing and observes nothing more.
func TestClose(t *testing.T) {
	leaktest.Check(t)
	w, err := newWatcherWith(nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := startChild(t)
	p := w.Watch(c.pid)
	blind := withoutPidfd(w.Watch(c.pid))
	var closers sync.WaitGroup
	for range 3 {
		closers.Go(func() {
			if err := w.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	closers.Wait()
	if p.pidfd() >= 0 {
		t.Error("a file descriptor is held")
	}
	late := w.Watch(c.pid)
	if late.pidfd() >= 0 {
		t.Error("a file descriptor is held for a process watched later")
	}
	c.kill()
	w.Sync()
	check(t, "open at the end", p, false)
	check(t, "without pidfd", blind, false)
	check(t, "watched later", late, false)
	check(t, "watched as a zombie", w.Watch(c.pid), true)
	p.Release()
	blind.Release()
	late.Release()
}

// TestCloseWhileEnding: the goroutine ends also when it is taking in ends.
func TestCloseWhileEnding(t *testing.T) {
	leaktest.Check(t)
	for range 20 {
		w, err := newWatcherWith(nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		children := startChildren(t, 4)
		for _, c := range children {
			w.Watch(c.pid)
		}
		go func() {
			for _, c := range children {
				c.signal()
			}
		}()
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		for _, c := range children {
			_ = c.cmd.Wait()
		}
	}
}

// setDescriptors sets the limit on file descriptors, and returns a function that restores it.
func setDescriptors(t *testing.T, limit uint64) (restore func()) {
	t.Helper()
	var old unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: limit, Max: old.Max}); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &old); err != nil {
			t.Error(err)
		}
	}
}

// TestNoDescriptors: a process does not count as ended because file descriptors are used up.
func TestNoDescriptors(t *testing.T) {
	leaktest.Check(t)
	w := newWatcher(t)
	alive, killed := startChild(t), startChild(t)
	restore := setDescriptors(t, 0)
	defer restore()
	if _, err := os.Open(os.DevNull); !errors.Is(err, unix.EMFILE) {
		t.Fatalf("there are file descriptors left: %v", err)
	}
	if _, err := newWatcherWith(nil, nil); !errors.Is(err, unix.EMFILE) {
		t.Errorf("a new Watcher: %v", err)
	}
	p, other := w.Watch(alive.pid), w.Watch(killed.pid)
	for range 2 {
		w.Sync()
		check(t, "alive", p, false)
		check(t, "not killed yet", other, false)
	}
	if p.pidfd() >= 0 || other.pidfd() >= 0 {
		t.Errorf("the pidfds are %d and %d", p.pidfd(), other.pidfd())
	}
	restore()
	killed.kill()
	w.Sync()
	check(t, "alive", p, false)
	check(t, "killed", other, true)
}

// TestManyDescriptors: with half of all file descriptors in use, processes are held without a
// pidfd.
func TestManyDescriptors(t *testing.T) {
	leaktest.Check(t)
	w := newWatcher(t)
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	restore := setDescriptors(t, uint64(2*fd)) // fd is the half, and the next one is above it
	p := w.Watch(os.Getpid())
	restore()
	if p.pidfd() >= 0 || p.start == 0 {
		t.Errorf("the pidfd is %d, the start %d", p.pidfd(), p.start)
	}
	w.Sync()
	check(t, "this process", p, false)
}

// TestDescriptorTable: the kernel's table of file descriptors has room from the start.
func TestDescriptorTable(t *testing.T) {
	newWatcher(t)
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(status), "FDSize:")
	size, err := strconv.Atoi(strings.Fields(after)[0])
	if want := min(firstDescriptors, descriptorsBelow(8)); err != nil || size < want {
		t.Errorf("the table has room for %d descriptors, %v; want %d", size, err, want)
	}
}
