package control

import (
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// width is how many questions are in flight at once. It is how many sandboxes may stall, each for its whole time, before the
	// others have to wait for them.
	width = 256
	// chunk is how much of an answer is read at a time, into a buffer that all share. Honest answers have 1 to 40 KB.
	chunk = 64 << 10
	// heldMax bounds the bytes of all unfinished answers together. Buffers that had to make room for others are garbage on top of it, half as
	// much in the worst case that is known. It has to hold a chunk of every question in flight, and some more.
	heldMax = 18 << 20
	// growth is by how much the buffer of an unfinished answer grows. With 2 there is more garbage, with more nobody else has room.
	growth = 4
	// An answer may take freeReads reads, and one more for each fairPiece bytes. What comes in smaller pieces is read once a tick.
	freeReads = 32
	fairPiece = 4 << 10
	// tick is how exactly deadlines are kept, and how often a sandbox with a full backlog is tried again.
	tick = 5 * time.Millisecond
)

// A Receiver is told what became of the questions, each by its index. Its methods are called one at a time, by the goroutine in Run.
type Receiver interface {
	// Receive is given what has arrived when that may be a whole answer, and reports whether it is one. If not, it is called again
	// with more. The reply is valid until it returns.
	Receive(i int, r Reply) (whole bool)
	// Fail is given the reason for which there is no answer: one of this package's errors.
	Fail(i int, err error)
}

// A Loop asks many sandboxes at once. It is not safe for concurrent use; Close it when it is no longer needed.
type Loop struct {
	epoll   int
	buffer  []byte // of chunk bytes
	refuses bool   // to let descriptors through
	events  []unix.EpollEvent
	slots   []slot
	free    []int32 // indexes of slots

	spare   [][]byte // buffers of unfinished answers, for the next ones
	held    int      // bytes of all such buffers, spare or not
	most    int      // that may be held: heldMax, or less in tests
	stopped atomic.Bool

	// Of the run that is under way.
	queries  []Query
	receiver Receiver
	deadline time.Time
	next     int  // the first query not yet begun
	grew     bool // an answer came in pieces
}

// slot is a question in flight.
type slot struct {
	query     int
	fd        int
	end       time.Time // of the time that the sandbox has
	connected bool
	reads     int
	crumbles  bool   // it is read at ticks only
	partial   []byte // what has arrived, once it is known not to be all
	frame     frame
	doubted   bool // the receiver has said once that it was not all: from then on the frame has the say
}

const noFD = -1

// NewLoop returns a Loop.
func NewLoop() (*Loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	l := &Loop{
		epoll:   epoll,
		buffer:  make([]byte, chunk),
		events:  make([]unix.EpollEvent, width),
		slots:   make([]slot, width),
		free:    make([]int32, width),
		most:    heldMax,
		refuses: refusing(),
	}
	for i := range l.slots {
		l.slots[i].fd = noFD
		l.free[i] = int32(width - 1 - i)
	}
	return l, nil
}

// Close releases the loop's descriptor.
func (l *Loop) Close() error { return unix.Close(l.epoll) }

// Stop makes this run, and all to come, end as if its deadline had come. It may be called from any goroutine.
func (l *Loop) Stop() { l.stopped.Store(true) }

// Run asks all the questions, in order, many at a time, and returns when each has been answered or has failed, at deadline at the
// latest.
func (l *Loop) Run(queries []Query, deadline time.Time, receiver Receiver) {
	l.queries, l.receiver, l.deadline, l.next, l.grew = queries, receiver, deadline, 0, false
	defer l.abandon()
	swept := time.Now()
	for l.next < len(queries) || l.inFlight() > 0 {
		l.begin()
		if l.inFlight() == 0 {
			continue // all that were begun have failed at once
		}
		// What has arrived by now is read before anybody is said to be late: it may be this process that was paused.
		now := time.Now()
		if l.wait() && now.Sub(swept) >= tick {
			if l.stopped.Load() {
				l.deadline = now
			}
			l.sweep(now)
			swept = now
		}
	}
}

func (l *Loop) inFlight() int { return width - len(l.free) }

// abandon forgets the run. Questions are still in flight only if the receiver panicked: nobody is to be told of them, and they must not
// be taken for questions of the next run. Buffers are kept for that one if this one needed any.
func (l *Loop) abandon() {
	for i := range l.slots {
		if l.slots[i].fd != noFD {
			l.release(int32(i))
		}
	}
	if !l.grew {
		l.spare, l.held = nil, 0
	}
	l.queries, l.receiver = nil, nil
}

// begin asks as many questions as there are free slots.
func (l *Loop) begin() {
	for l.next < len(l.queries) && len(l.free) > 0 {
		now := time.Now()
		if !now.Before(l.deadline) {
			l.receiver.Fail(l.next, ErrNotAsked)
			l.next++
			continue
		}
		q := &l.queries[l.next]
		if q.Address.closing.Load() >= maxClosing {
			l.receiver.Fail(l.next, ErrDescriptors)
			l.next++
			continue
		}
		fd, err := newSocket(l.refuses)
		if lacksDescriptors(err) && l.inFlight() > 0 {
			return // those in flight will give theirs back
		}
		if err != nil {
			l.receiver.Fail(l.next, errInternal(err))
			l.next++
			continue
		}
		i := l.free[len(l.free)-1]
		l.free = l.free[:len(l.free)-1]
		l.slots[i] = slot{query: l.next, fd: fd, end: now.Add(q.Timeout)}
		l.next++
		l.connect(i)
	}
}

func lacksDescriptors(err error) bool { return err == unix.EMFILE || err == unix.ENFILE }

// connect connects the slot and sends its question. A sandbox whose backlog is full is tried again at the next tick.
func (l *Loop) connect(i int32) {
	s := &l.slots[i]
	q := &l.queries[s.query]
	switch err := q.Address.connect(s.fd); {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case lacksDescriptors(err) || err == unix.ENOMEM || err == unix.ENOBUFS:
		l.fail(i, errInternal(err))
		return
	case err != nil:
		l.fail(i, errUnreachable(err))
		return
	}
	// A question is a few dozen bytes, or 4 KB with the longest filter, and the socket's buffer is empty: it fits.
	if n, err := unix.Write(s.fd, q.Request); err == unix.EPIPE || err == unix.ECONNRESET {
		l.fail(i, ErrClosed)
		return
	} else if err != nil || n != len(q.Request) {
		l.fail(i, errInternal(cmp.Or(err, errShortWrite)))
		return
	}
	s.connected = true
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: i}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, s.fd, &event); err != nil {
		l.fail(i, errInternal(err))
	}
}

var errShortWrite = errors.New("the control socket did not take the question at once")

// wait waits for answers, a tick at most, and reads what has come. It reports false when it was interrupted and has not looked.
func (l *Loop) wait() bool {
	n, err := unix.EpollWait(l.epoll, l.events, int(tick/time.Millisecond))
	if err != nil {
		return false // EINTR: the caller's loop comes back
	}
	for _, e := range l.events[:n] {
		if i := e.Fd; l.slots[i].fd != noFD && l.slots[i].connected {
			l.read(i)
		}
	}
	return true
}

// read takes what has arrived for the slot: one piece, so that no sandbox keeps the others waiting.
func (l *Loop) read(i int32) {
	s := &l.slots[i]
	n, err := receive(s.fd, l.buffer, l.refuses)
	switch {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case err == ErrDescriptors:
		l.fail(i, err)
		return
	case err != nil || n == 0:
		l.fail(i, ErrClosed)
		return
	}
	data := l.buffer[:n]
	limit := l.queries[s.query].Limit
	if len(s.partial)+n > limit {
		l.fail(i, errTooLong(limit))
		return
	}
	if s.partial != nil {
		if !l.hold(i, data, limit) {
			return
		}
		data = s.partial
	}
	if l.whole(s, data) {
		l.release(i)
		return
	}
	if s.partial == nil && !l.hold(i, data, limit) {
		return
	}
	l.slowDown(s)
}

// slowDown takes an answer that comes in crumbs out of the epoll set: to wake up for each costs more than all it says.
func (l *Loop) slowDown(s *slot) {
	s.reads++
	if !s.crumbles && s.reads > freeReads+len(s.partial)/fairPiece {
		s.crumbles = unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, s.fd, nil) == nil
	}
}

// whole asks the receiver whether data is a whole answer. That costs a parse, so it is asked when data may well be one, which is nearly
// always right, and then only when the brackets add up: the bytes of a sandbox that sends its answer in crumbs are parsed twice, not once
// a crumb.
func (l *Loop) whole(s *slot, data []byte) bool {
	likely := !s.doubted && data[len(data)-1] == '}'
	if !likely && !s.frame.ended(data) {
		return false
	}
	s.doubted = true
	return l.receiver.Receive(s.query, Reply{data})
}

// hold appends data to what the slot has, within the bounds of one answer and of all, and reports whether the slot is still in flight.
func (l *Loop) hold(i int32, data []byte, limit int) bool {
	s := &l.slots[i]
	if need := len(s.partial) + len(data); need > cap(s.partial) {
		size := chunk
		for size < need {
			size *= growth
		}
		size = min(size, limit)
		grown := l.room(i, size)
		if grown == nil {
			return false
		}
		grown = append(grown, s.partial...)
		l.keep(s.partial)
		s.partial = grown
	}
	s.partial = append(s.partial, data...)
	return true
}

// room returns an empty buffer for the slot with room for size bytes, or nil if only giving up the slot would make room.
func (l *Loop) room(i int32, size int) []byte {
	l.grew = true
	for {
		if at := l.fitting(size); at >= 0 {
			b := l.spare[at]
			l.spare = slices.Delete(l.spare, at, at+1)
			return b
		}
		last := len(l.spare) - 1
		switch {
		case l.held+size <= l.most || l.held == 0:
			l.held += size
			return make([]byte, 0, size)
		case last >= 0:
			l.held -= cap(l.spare[last])
			l.spare = slices.Delete(l.spare, last, last+1)
		default:
			// The largest goes: an honest answer is hardly ever it.
			victim := l.largest()
			l.fail(victim, errTooMuch)
			if victim == i {
				return nil
			}
		}
	}
}

// fitting returns the index of the smallest spare buffer with room for size bytes, or -1. One that is much larger does not fit: it would
// make an answer the one that takes most room.
func (l *Loop) fitting(size int) int {
	best := -1
	for i, b := range l.spare {
		if cap(b) >= size && cap(b) <= 2*size && (best < 0 || cap(b) < cap(l.spare[best])) {
			best = i
		}
	}
	return best
}

// keep keeps a buffer for others.
func (l *Loop) keep(b []byte) {
	if cap(b) > 0 {
		l.spare = append(l.spare, b[:0])
	}
}

// largest returns the slot that takes most room, whatever it has put there.
func (l *Loop) largest() (index int32) {
	for i := range l.slots {
		if cap(l.slots[i].partial) > cap(l.slots[index].partial) {
			index = int32(i)
		}
	}
	return index
}

// sweep reads answers that come in crumbs, ends what has outlived its deadline, and tries again to connect what could not be connected.
func (l *Loop) sweep(now time.Time) {
	for i := range l.slots {
		if l.slots[i].crumbles {
			l.read(int32(i))
		}
		switch s := &l.slots[i]; {
		case s.fd == noFD:
		case !now.Before(s.end):
			l.fail(int32(i), ErrStalled)
		case !now.Before(l.deadline):
			l.fail(int32(i), ErrOutOfTime)
		case !s.connected:
			l.connect(int32(i))
		}
	}
}

func (l *Loop) fail(i int32, err error) {
	query := l.slots[i].query
	l.release(i)
	l.receiver.Fail(query, err)
}

// release closes the slot's connection, which takes it out of the epoll set, and frees the slot.
func (l *Loop) release(i int32) {
	s := &l.slots[i]
	hangUp(s.fd, l.queries[s.query].Address, l.refuses)
	l.keep(s.partial)
	*s = slot{fd: noFD}
	l.free = append(l.free, i)
}

// appendJSONString appends s as a JSON string.
func appendJSONString(b []byte, s string) []byte {
	quoted, err := json.Marshal(s)
	if err != nil { // a string has no reason to fail
		panic(err)
	}
	return append(b, quoted...)
}
