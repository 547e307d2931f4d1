package control

import (
	"time"

	"golang.org/x/sys/unix"
)

const (
	// chunk is the size of a read, into a buffer that all queries share. Typical replies have 1 to
	// 40 KB.
	chunk = 64 << 10
	// A reply may take freeReads reads, and one more for each fairPiece bytes. A reply in smaller
	// fragments is throttled: it is read once per tick.
	freeReads = 32
	fairPiece = 4 << 10
)

// wait waits for replies, at most a tick, and reads the data that has arrived. It returns false if
// it was interrupted before.
func (l *Loop) wait() bool {
	n, err := unix.EpollWait(l.epoll, l.events, int(tick/time.Millisecond))
	if err != nil {
		return false // EINTR: the caller tries again
	}
	// All of these replies had arrived by now. The time that it takes to read one does not count as
	// time that the next sandbox took.
	now := time.Now()
	for _, e := range l.events[:n] {
		// A slot that was released since has not been used again: that happens in begin only.
		if i := e.Fd; l.slots[i].connected {
			l.read(i, now)
		}
	}
	return true
}

// read reads data for the slot once, so that no sandbox delays the others.
func (l *Loop) read(i int32, now time.Time) {
	l.runAlarms()
	s := &l.slots[i]
	n, err := receive(s.fd, l.buffer, l.refuses)
	l.received.Add(int64(max(n, 0)))
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
	case err == errDescriptors:
		l.fail(i, descriptorsSent, now)
	case err != nil || n == 0:
		l.fail(i, closed, now)
	case len(s.partial)+n > s.limit:
		l.fail(i, tooLong(s.limit), now)
	default:
		l.take(i, l.buffer[:n], now)
	}
}

// take adds data to the reply and, if it may be whole now, hands it to the query. A reply that
// arrives in one read is never copied.
func (l *Loop) take(i int32, data []byte, now time.Time) {
	s := &l.slots[i]
	held := s.partial != nil
	if held {
		if !l.hold(i, data, now) {
			return
		}
		data = s.partial
	}
	if s.mayBeWhole(data) && l.offer(i, data, now) {
		return
	}
	if held || l.hold(i, data, now) {
		l.throttle(s)
	}
}

// mayBeWhole reports whether data, everything that has arrived, is worth parsing. At first it is if
// it ends like an object, which is nearly always right. After one wrong guess, the frame decides.
// So a reply that comes in fragments is parsed twice at most, and not once per fragment.
func (s *slot) mayBeWhole(data []byte) bool {
	likely := !s.useFrame && data[len(data)-1] == '}'
	return likely || s.frame.ended(data)
}

// offer hands data to the query, and reports whether the query has ended.
func (l *Loop) offer(i int32, data []byte, now time.Time) (ended bool) {
	s := &l.slots[i]
	s.useFrame = true
	whole, f := callRead(s.query, Reply{data}, s.took(now))
	switch {
	case f != nil:
		l.fail(i, f, now)
	case whole:
		l.succeed(i)
	}
	return f != nil || whole
}

// throttle removes the connection of a reply in small fragments from the epoll set: waking up for
// each fragment costs more than reading once per tick.
func (l *Loop) throttle(s *slot) {
	s.reads++
	if !s.throttled && s.reads > freeReads+len(s.partial)/fairPiece {
		s.throttled = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, s.fd, nil) == nil
	}
}
