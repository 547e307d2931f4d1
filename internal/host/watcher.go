package host

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/procevents"
)

// batch is how many ends one system call returns.
const batch = 128

// A Watcher watches processes and records when and how they end. It holds a pidfd of each process
// in an epoll set, so that an end is recorded within moments, and so that watching costs next to
// nothing as long as no process of the node ends. All methods are safe for concurrent use. Close
// it when it is no longer needed.
type Watcher struct {
	epoll   int           // the epoll set; owned by file
	file    *os.File      // makes Go's poller wait for the set, which takes no thread
	done    chan struct{} // closed when the goroutine has ended
	changed func()        // nil: none
	none    *Process

	exits         *procevents.Socket // in the epoll set; nil: the kernel does not let the server have one
	missing       atomic.Int64       // exit events
	tellsOfReaped bool               // the kernel keeps the exit status of reaped processes

	// Replaced in tests.
	heldStatus func(pidfd int) (status int, known, pending bool)
	after      func(time.Duration, func())

	// mu is held for every change and every reading of the epoll set. No other lock is taken while it
	// is held, and no function of the Watcher's user is called, except by FirstAtEnd. Meanwhile, the set has
	// exactly the file descriptors in byFD, so an event is always about the process found there,
	// even when its number belonged to another process before.
	mu     sync.Mutex
	closed bool
	byFD   map[int32]*Process
	byPID  map[int][]*Process    // processes whose exits are not settled
	noFD   map[*Process]struct{} // processes without a pidfd that have not ended
	files  map[int32]func()      // by file descriptor: what WatchFile calls
	events []unix.EpollEvent     // for reading the set

	// What has been recorded since mu was locked; unlockAndTell tells of it.
	calls    []func() // of AtEnd
	recorded bool     // an end, an exit, or that there is no way to learn an exit

	telling map[chan struct{}]struct{} // calls under way; each channel is closed when they are over
}

// NewWatcher returns a Watcher without processes. An error means that the process lacks file
// descriptors or memory.
//
// changed, if it is not nil, is called after ends or exits have been recorded, and after it has
// turned out that an exit cannot be learned. One call may stand for several of them. It is made on
// the goroutine that recorded them: the watcher's, or that of Sync. The functions of AtEnd for
// these ends are called before it. No lock of this package is held during the call. It must not
// block, and must be safe for concurrent use. It is not called for what Watch itself finds, nor for
// Release and Close.
//
// Before Linux 6.6, only a process with CAP_NET_ADMIN receives exit events. It can drop the capability
// after the call.
func NewWatcher(changed func()) (*Watcher, error) {
	exits, _ := procevents.Open() // without it, Sources lacks SourceExitEvents
	w, err := newWatcherWith(changed, exits)
	if err != nil && exits != nil {
		exits.Close()
	}
	return w, err
}

func newWatcherWith(changed func(), exits *procevents.Socket) (*Watcher, error) {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("watch processes: %w", err)
	}
	growDescriptorTable(fd)
	w := &Watcher{
		epoll:   fd,
		done:    make(chan struct{}),
		changed: changed,
		byFD:    make(map[int32]*Process),
		byPID:   make(map[int][]*Process),
		noFD:    make(map[*Process]struct{}),
		files:   make(map[int32]func()),
		events:  make([]unix.EpollEvent, batch),
		telling: make(map[chan struct{}]struct{}),
		exits:   exits, tellsOfReaped: tellsOfReaped(kernelRelease()), heldStatus: heldStatus,
		after: func(d time.Duration, f func()) { time.AfterFunc(d, f) },
	}
	w.none = w.watch(0, -1, 0, false)
	conn, err := w.pollable()
	if err == nil && exits != nil {
		err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, exits.FD(), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(exits.FD())})
	}
	if err != nil {
		return nil, fmt.Errorf("watch processes: %w", err)
	}
	go w.run(conn)
	return w, nil
}

// firstDescriptors is the number of file descriptors that the table has room for from the start.
const firstDescriptors = 4 << 10

// growDescriptorTable makes room in the process's table of file descriptors. It doubles whenever it is
// full, and each time the kernel waits some milliseconds for all CPUs. A first collection of 1,000 sandboxes
// would wait five times.
func growDescriptorTable(fd int) {
	highest, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, min(firstDescriptors, descriptorsBelow(8))-1)
	if err == nil {
		unix.Close(highest)
	}
}

// pollable hands the epoll set to Go's poller. The set itself never blocks, but the poller takes
// only file descriptors that are marked as non-blocking.
func (w *Watcher) pollable() (syscall.RawConn, error) {
	nonblockErr := unix.SetNonblock(w.epoll, true)
	w.file = os.NewFile(uintptr(w.epoll), "epoll")
	deadlineErr := w.file.SetReadDeadline(time.Time{}) // only files that the poller waits for take one
	conn, err := w.file.SyscallConn()
	if err := errors.Join(nonblockErr, deadlineErr, err); err != nil {
		return nil, errors.Join(err, w.file.Close())
	}
	return conn, nil
}

// run records ends as they happen, until the file is closed.
//
// No end is lost between a drain and the wait that follows it. Go's poller is edge-triggered: it
// remembers that the epoll set became readable even when nothing waits yet, and the kernel reports
// a set as readable anew for each process that ends or is reaped, whether or not earlier events
// were taken out. One that Sync has taken in meanwhile merely makes a drain find nothing.
func (w *Watcher) run(conn syscall.RawConn) {
	defer close(w.done)
	// Read ends with an error only, because its function never reports success: when the file is
	// closed.
	_ = conn.Read(func(uintptr) bool {
		w.mu.Lock()
		w.drain()
		w.unlockAndTell()
		return false
	})
}

// unlockAndTell unlocks mu and calls the functions that are due.
func (w *Watcher) unlockAndTell() {
	calls, recorded := w.calls, w.recorded
	w.calls, w.recorded = nil, false
	if !recorded {
		w.mu.Unlock()
		return
	}
	told := make(chan struct{})
	w.telling[told] = struct{}{}
	w.mu.Unlock()
	for _, f := range calls {
		f()
	}
	if w.changed != nil {
		w.changed()
	}
	w.mu.Lock()
	delete(w.telling, told)
	w.mu.Unlock()
	close(told)
}

// Watch holds the process pid. From then on, another process that is given the same pid is never
// taken for it. A process that does not exist, or that is a zombie, has ended from the start. The
// exit of a zombie is learned all the same; Began tells whether it is the right one.
//
// If no pidfd is available, or half of all file descriptors are in use, the process is held without
// one. It is then identified by its start time, and only Sync observes its end.
//
// After Close, Watch looks at the process once and holds nothing.
func (w *Watcher) Watch(pid int) *Process {
	fd, start, alive := hold(pid)
	return w.watch(pid, fd, start, alive)
}

// None returns a process that has ended and has no PID, for those who have none. Releasing it does nothing.
func (w *Watcher) None() *Process { return w.none }

// WatchHeld is Watch for a process of which the caller has a pidfd, which belongs to the Watcher from
// then on.
func (w *Watcher) WatchHeld(pid, pidfd int) *Process {
	fd, start, alive := held(pid, pidfd)
	return w.watch(pid, fd, start, alive)
}

func (w *Watcher) watch(pid, fd int, start int64, alive bool) *Process {
	p := &Process{watcher: w, pid: pid, done: make(chan struct{}), fd: fd, start: start, past: !alive}
	w.mu.Lock()
	defer w.mu.Unlock()
	if pid > 0 && !w.closed {
		w.byPID[pid] = append(w.byPID[pid], p)
	}
	switch {
	case !alive:
		p.finish(time.Now(), false)
	case w.closed:
		p.settle(nil)
	case !p.register(unix.EPOLLIN):
		p.closeFD()
		w.noFD[p] = struct{}{}
	}
	return p
}

// WatchFile calls changed each time that the kernel tells of a change of a file of a cgroup, until stop is
// called, which must be before the file descriptor is closed. The call is made as for AtEnd, and
// stop does not wait for one that is due already.
func (w *Watcher) WatchFile(fd int, changed func()) (stop func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	// Once per change: after the cgroup was removed, the file would be reported for ever.
	event := unix.EpollEvent{Events: unix.EPOLLPRI | unix.EPOLLET, Fd: int32(fd)}
	if w.closed || unix.EpollCtl(w.epoll, unix.EPOLL_CTL_ADD, fd, &event) != nil {
		return func() {}
	}
	w.files[event.Fd] = changed
	return func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		if delete(w.files, event.Fd); !w.closed {
			_ = unix.EpollCtl(w.epoll, unix.EPOLL_CTL_DEL, fd, nil)
		}
	}
}

// register puts the process into the epoll set, or changes what the set reports of it, and reports
// whether that succeeded. The kernel limits how many file descriptors the epoll sets of one user
// have. What has happened by now makes the set readable at once. The caller holds mu.
func (p *Process) register(events uint32) bool {
	w := p.watcher
	if p.fd < 0 || w.closed {
		return false
	}
	event := unix.EpollEvent{Events: events, Fd: int32(p.fd)}
	change := unix.EPOLL_CTL_ADD
	if w.byFD[event.Fd] == p {
		change = unix.EPOLL_CTL_MOD
	}
	if unix.EpollCtl(w.epoll, change, p.fd, &event) != nil {
		return false
	}
	w.byFD[event.Fd] = p
	return true
}

// Sync records every end and every exit that the kernel told before the call, and calls the
// functions of AtEnd and changed before it returns. For what another goroutine has recorded, these
// calls may still be under way. Sync costs one system call and as much as there are ends; processes
// held without a pidfd cost a look at /proc each. After Close it does nothing.
func (w *Watcher) Sync() {
	w.mu.Lock()
	defer w.unlockAndTell()
	w.sync()
}

// SyncAll is Sync, and waits for the calls of other goroutines that are under way.
func (w *Watcher) SyncAll() {
	w.mu.Lock()
	w.sync()
	others := slices.Collect(maps.Keys(w.telling))
	w.unlockAndTell()
	for _, told := range others {
		<-told
	}
}

// sync records what has happened. The caller holds mu.
func (w *Watcher) sync() {
	w.drain()
	for p := range w.noFD {
		p.look()
	}
}

// drain records the ends and exits that the epoll set reports. It finds all that happened before it
// was called: the kernel puts a process into the set's ready list in the same critical section that
// makes it a zombie, or takes away its PID. The caller holds mu.
//
// Each event is taken in such that the set does not report it again: the pidfd is closed, or its
// registration is changed. So a zombie that is never reaped does not wake the goroutine.
func (w *Watcher) drain() {
	for !w.closed {
		n, err := unix.EpollWait(w.epoll, w.events, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return
		}
		now := time.Now()
		w.callFirst(w.events[:n])
		for _, event := range w.events[:n] {
			w.take(event, now)
		}
		if n < len(w.events) {
			return
		}
	}
}

// take takes in what the epoll set reports of a process. The caller holds mu.
func (w *Watcher) take(event unix.EpollEvent, now time.Time) {
	if w.exits != nil && int(event.Fd) == w.exits.FD() {
		w.readExits()
		return
	}
	if changed := w.files[event.Fd]; changed != nil {
		w.calls, w.recorded = append(w.calls, changed), true
		return
	}
	p := w.byFD[event.Fd]
	if p == nil { // settled by an exit event that was reported at the same time
		return
	}
	w.recorded = true
	if p.end.Load() == nil {
		p.finish(now, event.Events&unix.EPOLLHUP != 0)
	} else {
		p.learn(zombie{}, true) // a zombie is reported for nothing else
	}
}

// Close stops watching: it ends the goroutine, waits for it, and releases all processes. Their
// ends, if they have not been observed yet, never are. Since the goroutine may be calling a
// function of AtEnd, or changed, the caller must not hold a lock that these take, nor be called by
// them. Closing again does nothing.
func (w *Watcher) Close() error {
	w.mu.Lock()
	wasClosed := w.closed
	w.closed = true // from here on nothing uses the epoll set but file
	for _, processes := range w.byPID {
		for _, p := range slices.Clone(processes) {
			p.settle(nil)
		}
	}
	w.mu.Unlock() // the goroutine may be waiting for it, and has to end for the file to be closed
	if wasClosed {
		<-w.done
		return nil
	}
	err := w.file.Close()
	<-w.done
	if w.exits != nil {
		err = errors.Join(err, w.exits.Close())
	}
	return err
}
