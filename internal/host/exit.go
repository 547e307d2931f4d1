package host

import (
	"slices"

	"golang.org/x/sys/unix"
)

// An Exit is how a process ended, as its parent learns it from wait(2). The exit statuses 137 and
// 143, with which runsc and shells report signals, are codes.
type Exit struct {
	Code   int // exit status
	Signal int // the signal that ended the process; 0: none. Code is 0 then
}

// Exit returns how the process ended. known is false until the kernel tells. To users without
// permission it tells only after the parent has reaped the process. Once the exit is known, it
// stays the same.
func (p *Process) Exit() (e Exit, known bool) {
	if exit := p.exit.Load(); exit != nil {
		return *exit, true
	}
	return Exit{}, false
}

// Settled reports whether the result of Exit will not change anymore: it is known, there is no way
// to learn it, or the process was released.
func (p *Process) Settled() bool { return p.settled.Load() }

// settle ends the watch. exit is nil if it is not known. The caller holds mu.
func (p *Process) settle(exit *Exit) {
	p.closeFD()
	p.atEnd, p.firstAtEnd = nil, nil
	delete(p.watcher.noFD, p)
	if p.settled.Load() {
		return
	}
	p.watcher.forget(p)
	p.exit.Store(exit) // first, so that the exit of a settled process does not change
	p.settled.Store(true)
}

// learn learns how the process ended from what /proc shows of the zombie, or from its pidfd. If
// neither tells, it keeps the pidfd until the process is reaped, and is called again. reaped means
// that it is. The caller holds mu and has recorded the end.
//
// Since Linux 6.15, the kernel keeps the status of a reaped process as long as a pidfd is held
// (PIDFD_GET_INFO). Older kernels return an error: Linux 6.13 and 6.14 when the process is reaped,
// older ones at once. Then an event of the kernel tells, if the server receives them.
func (p *Process) learn(z zombie, reaped bool) {
	status, known, pending := z.status, z.readable, false
	if !known && p.fd >= 0 {
		status, known, pending = p.watcher.heldStatus(p.fd)
	}
	if !known {
		status, known = p.toldStatus()
	}
	switch {
	case known:
		p.settle(exitOf(status))
	case !reaped && pending && p.awaitReaping():
	case !p.awaitEvent():
		p.settle(nil)
	}
}

// forget removes a process whose exit will not be learned any more. The caller holds mu.
func (w *Watcher) forget(p *Process) {
	others := slices.DeleteFunc(w.byPID[p.pid], func(other *Process) bool { return other == p })
	w.byPID[p.pid] = others
	if len(others) == 0 {
		delete(w.byPID, p.pid)
	}
}

// exitOf returns the exit of a status in the format of wait(2), or nil if it is none.
func exitOf(status int) *Exit {
	switch s := unix.WaitStatus(status); {
	case s.Exited():
		return &Exit{Code: s.ExitStatus()}
	case s.Signaled():
		return &Exit{Signal: int(s.Signal())}
	}
	return nil
}

// heldStatus asks the kernel for the exit status of the process of a pidfd. pending means that it
// may have one later: the process is still a zombie.
func heldStatus(pidfd int) (status int, known, pending bool) {
	info := unix.PidfdInfo{Mask: unix.PIDFD_INFO_EXIT}
	if unix.IoctlPidfdInfo(pidfd, &info) != nil {
		return 0, false, false
	}
	if info.Mask&unix.PIDFD_INFO_EXIT == 0 {
		return 0, false, true
	}
	return int(info.Exit_code), true, false
}

// awaitReaping makes the epoll set report the pidfd when the process is reaped (since Linux 6.9),
// and not because it is a zombie. The caller holds mu.
func (p *Process) awaitReaping() bool {
	return p.register(0) // EPOLLHUP is always reported
}
