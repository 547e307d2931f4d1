package host

import (
	"errors"
	"io/fs"
	"math"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/procevents"
)

// A Process is a process of a sandbox that a Watcher holds. All methods are safe for concurrent
// use.
type Process struct {
	watcher *Watcher
	pid     int
	end     atomic.Pointer[End]
	done    chan struct{}        // closed after end is set
	exit    atomic.Pointer[Exit] // nil: not known
	settled atomic.Bool          // exit does not change anymore

	// Guarded by the watcher's mu.
	fd         int             // the pidfd; -1: none is held
	start      int64           // of the process, in ticks after boot; 0: not known yet
	atEnd      func()          // nil: none
	firstAtEnd func()          // nil: none
	past       bool            // it had ended when Watch was called, so its event has been missed
	event      procevents.Exit // the last one; its time is 0: none
	endedAt    time.Duration   // when the end was observed, by the monotonic clock
}

// An End is the record of a process's end. It is immutable.
type End struct {
	Observed time.Time     // when the end was observed, which is after it happened
	CPU      time.Duration // CPU time of all threads of the process; 0: not known, as after reaping
}

// PID returns the process ID with which Watch was called.
func (p *Process) PID() int { return p.pid }

// End returns the record of the process's end, or nil as long as none has been observed. A zombie
// has ended. Once there is a record, it stays the same one.
func (p *Process) End() *End { return p.end.Load() }

// Alive reports whether the process has not ended now. Unlike End, it asks the kernel. So what was
// read about its PID before the call is about this process.
func (p *Process) Alive() bool {
	p.watcher.mu.Lock()
	defer p.watcher.mu.Unlock()
	if p.end.Load() != nil {
		return false
	}
	if p.fd < 0 {
		_, alive := look(p.pid, p.start, false)
		return alive
	}
	return !Ended(p.fd)
}

// Ended reports whether the process of a pidfd has ended, or that it cannot be told.
func Ended(pidfd int) bool {
	events, err := polled(pidfd)
	return err != nil || events != 0
}

// polled returns what poll reports of a pidfd: nothing of a process that runs.
func polled(pidfd int) (events int16, err error) {
	fds := []unix.PollFd{{Fd: int32(pidfd), Events: unix.POLLIN}}
	for {
		if _, err = unix.Poll(fds, 0); err != unix.EINTR {
			return fds[0].Revents, err
		}
	}
}

// Done returns a channel that is closed when the end has been observed; End returns the record from
// then on. For a process that is released first, it is never closed.
func (p *Process) Done() <-chan struct{} { return p.done }

// Began returns when the process began, converted to the current wall clock: a step of the clock
// changes it. It is zero if it is not known, for example for a process that had been reaped when
// Watch was called.
func (p *Process) Began() time.Time {
	p.watcher.mu.Lock()
	defer p.watcher.mu.Unlock()
	return timeOf(p.start)
}

// BeganBefore reports whether the process began before the process pid, by the kernel's clock ticks. It
// is false if either beginning is not known. Unlike a comparison of two results of Began, it does not
// depend on the wall clock, and a process did not begin before itself.
func (p *Process) BeganBefore(pid int) bool {
	p.watcher.mu.Lock()
	start := p.start
	p.watcher.mu.Unlock()
	other, _ := look(pid, 0, false)
	return start != 0 && other != 0 && start < other
}

// AtEnd sets the function that is called when the end of the process is recorded. It is called
// once, on the goroutine that records the end: the watcher's, or that of Sync. By then, End and
// Done tell of the end, and Exit does if the zombie is readable. The watcher's changed is called
// after it. If the end is recorded already, AtEnd calls f before it returns.
//
// No lock of this package is held during the call, so f may call all methods except Close and SyncAll. It may
// take only locks that no caller of Sync or Close holds. It should return soon, because other
// processes' ends wait for it.
//
// There is one function at a time: AtEnd replaces the one before, and AtEnd(nil) and Release remove
// it. They do not wait for a call that is due already.
func (p *Process) AtEnd(f func()) {
	p.watcher.mu.Lock()
	ended := p.end.Load() != nil
	if !ended {
		p.atEnd = f
	}
	p.watcher.mu.Unlock()
	if ended && f != nil {
		f()
	}
}

// Release stops watching the process: if its end or its exit has not been observed yet, it never
// is, and the function of AtEnd is not called. Releasing a process again does nothing.
func (p *Process) Release() {
	p.watcher.mu.Lock()
	defer p.watcher.mu.Unlock()
	p.settle(nil)
}

// finish records the end of the process, and has the function of AtEnd called. The caller holds mu,
// and so the end is recorded once.
func (p *Process) finish(observed time.Time, reaped bool) {
	var z zombie
	if !reaped {
		z = p.zombie()
	}
	p.end.Store(&End{observed, z.cpu})
	p.endedAt = monotonic()
	close(p.done)
	if p.atEnd != nil {
		p.watcher.calls = append(p.watcher.calls, p.atEnd)
		p.atEnd = nil
	}
	delete(p.watcher.noFD, p)
	p.learn(z, reaped)
}

// closeFD closes the pidfd, if any. The caller holds mu.
func (p *Process) closeFD() {
	if p.fd < 0 {
		return
	}
	if p.watcher.byFD[int32(p.fd)] == p {
		delete(p.watcher.byFD, int32(p.fd))
		// Closing alone would leave it in the set as long as a child that is about to execute
		// another program has a copy, and its events would be taken for those of the number's next
		// owner.
		_ = unix.EpollCtl(p.watcher.epoll, unix.EPOLL_CTL_DEL, p.fd, nil)
	}
	unix.Close(p.fd)
	p.fd = -1
}

// look records the end of a process without a pidfd if /proc shows it. The caller holds mu.
func (p *Process) look() {
	start, alive := look(p.pid, p.start, false)
	if !alive {
		p.finish(time.Now(), false)
		p.watcher.recorded = true
		return
	}
	p.start = start
}

// hold returns a pidfd of the process, or -1 if none is available, the time at which the process
// began, in ticks after boot, or 0 if it is not known, and whether the process is alive. A zombie
// is not, and has a pidfd too.
func hold(pid int) (fd int, start int64, alive bool) {
	if pid <= 0 {
		return -1, 0, false
	}
	fd, err := unix.PidfdOpen(pid, 0)
	switch err {
	case nil:
	case unix.ESRCH, unix.EINVAL, unix.ENOENT: // the last two: it is a thread's ID by now
		return -1, 0, false
	default:
		fd = -1
	}
	return held(pid, fd)
}

// held is hold with a pidfd of the process, or -1.
func held(pid, pidfd int) (fd int, start int64, alive bool) {
	fd = pidfd
	if fd >= descriptorsBelow(pidfdShare) {
		unix.Close(fd)
		fd = -1
	}
	// Read after the pidfd is held: either the data is about the held process, or that process has
	// ended, and then its pidfd is readable.
	start, alive = look(pid, 0, fd >= 0)
	return fd, start, alive
}

// The shares of the limit on file descriptors, in eighths, below which descriptors of a kind stay.
// The kernel always uses the lowest free number. So at least an eighth is left for pidfds, however
// many files of cgroups are held, and half for sockets.
const (
	cgroupShare = 3
	pidfdShare  = 4
)

// mayHoldCgroups returns the number below which files of cgroups are held.
func mayHoldCgroups() int { return descriptorsBelow(cgroupShare) }

// descriptorsBelow returns the number that the share of the limit ends at.
func descriptorsBelow(share uint64) int {
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return int(min(limit.Cur, math.MaxInt32) / 8 * share)
}

// look reports whether /proc shows the process as running, and the time at which it began, in ticks
// after boot. start is that time if it is known already, else 0. If /proc cannot be read, for lack
// of file descriptors for example, nothing has changed. held means that there is a pidfd: then a
// process that /proc does not show counts as running, because its end makes the pidfd readable.
func look(pid int, start int64, held bool) (newStart int64, alive bool) {
	stat, err := readProcStat("", pid)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ESRCH):
		return start, held
	case err != nil:
		return start, true
	case start != 0 && start != stat.start:
		return start, false
	}
	return stat.start, !stat.ended
}
