package control

import (
	"runtime"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/failure"
)

// Connecting looks up the path of the socket, and hangs if its file system does not answer. Then the
// goroutines that wait in Run give the loop another goroutine, and leave the one that hangs with its
// connection. It ends when the kernel returns.

const (
	// connectLimit is how long connecting may take. Nothing but a file system makes it wait.
	connectLimit = 500 * time.Millisecond
	// connectChecks is how often waiting goroutines look within that time.
	connectChecks = 4
)

// Values of Loop.connecting besides the numbers of connections that are being made, which are positive.
const (
	notConnecting = 0
	takenOver     = -1
)

// tryConnect connects a slot. If that hangs and another goroutine has taken over, it does not return.
func (l *Loop) tryConnect(i int32) error {
	address, fd := l.slots[i].address, l.slots[i].fd
	l.attempts++
	number := l.attempts
	l.slot = i
	l.address.Store(address)
	l.connecting.Store(number)
	if address.hang != nil {
		address.hang()
	}
	err := address.connect(fd)
	if !l.connecting.CompareAndSwap(number, notConnecting) {
		unix.Close(fd)
		if returned, ok := l.returned.LoadAndDelete(number); ok {
			returned.(func())()
		}
		runtime.Goexit() // the loop is another goroutine's
	}
	return err
}

// await waits for the end of a run, and takes over when a connection hangs.
func (l *Loop) await(r *run) {
	timer := time.NewTicker(connectLimit / connectChecks)
	defer timer.Stop()
	seen, times := int64(notConnecting), 0
	for {
		select {
		case <-r.done:
			return
		case <-timer.C:
		}
		now := l.connecting.Load()
		if now <= notConnecting || now != seen {
			seen, times = now, 0
			continue
		}
		if times++; times >= connectChecks {
			l.takeOver(now)
		}
	}
}

// takeOver fails the query whose connection hangs, and gives the loop another goroutine.
func (l *Loop) takeOver(number int64) {
	l.taking.Lock()
	defer l.taking.Unlock()
	if l.connecting.Load() != number { // it has just returned, or another goroutine has taken over
		return
	}
	returned := l.guard.Mark(l.address.Load().dir)
	l.returned.Store(number, returned)
	if !l.connecting.CompareAndSwap(number, takenOver) { // it has just returned
		l.returned.Delete(number)
		returned()
		return
	}
	l.slots[l.slot].fd = noFD // it belongs to the goroutine that hangs
	l.fail(l.slot, hung, time.Now())
	l.connecting.Store(notConnecting)
	go l.serve()
}

var hung = failure.Newf(failure.RootHung, "the file system of the control socket does not answer")
