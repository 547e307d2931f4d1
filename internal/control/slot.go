package control

import (
	"cmp"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/failure"
)

// slot is a query in flight.
type slot struct {
	run   *run
	query Query
	target
	fd        int
	began     time.Time
	connected bool // and the request is sent
	reads     int
	throttled bool   // the reply is read at ticks only
	partial   []byte // data of an unfinished reply; nil before the first unfinished read
	frame     frame
	useFrame  bool // the frame decides when to parse, since a guess was wrong
}

const noFD = -1

func (l *Loop) inFlight() int { return len(l.slots) - len(l.free) }

// begin begins as many queries as there are free slots.
func (l *Loop) begin() {
	for len(l.free) > 0 {
		l.runAlarms()
		r := l.takeTurn()
		if r == nil || !l.beginNext(r, time.Now()) {
			return
		}
	}
}

// beginNext begins the next query of a run, or fails it. It returns false if it has to wait for
// file descriptors.
func (l *Loop) beginNext(r *run, now time.Time) bool {
	if l.over(r, now) {
		l.skipRest(r)
		return true
	}
	q := r.queries[r.next]
	target, f := targetOf(q)
	if f != nil {
		l.skip(r, f)
		return true
	}
	fd, err := newSocket(l.refuses)
	if lacksDescriptors(err) && l.inFlight() > 0 {
		return false // the queries in flight will release theirs
	}
	if err != nil {
		l.skip(r, internal(err))
		return true
	}
	i := l.free[len(l.free)-1]
	l.free = l.free[:len(l.free)-1]
	l.slots[i] = slot{run: r, query: q, target: target, fd: fd, began: now}
	r.next++
	r.inFlight++
	l.queries.Add(1)
	l.connect(i)
	return true
}

func lacksDescriptors(err error) bool { return err == unix.EMFILE || err == unix.ENFILE }

// connect connects the slot and sends its request. If the sandbox's backlog is full, the next tick
// tries again.
func (l *Loop) connect(i int32) {
	s := &l.slots[i]
	if l.guard.Hung(s.address.dir) {
		l.fail(i, hung, time.Now())
		return
	}
	switch err := l.tryConnect(i); {
	case err == unix.EAGAIN || err == unix.EINTR:
		return
	case lacksDescriptors(err) || err == unix.ENOMEM || err == unix.ENOBUFS:
		l.fail(i, internal(err), time.Now())
		return
	case err != nil:
		l.fail(i, notConnected(s.address, err), time.Now())
		return
	}
	f := s.checkPeer()
	if f == nil {
		f = l.send(i)
	}
	if f == nil {
		f = l.watch(i)
	}
	if f != nil {
		l.fail(i, f, time.Now())
	}
}

// checkPeer calls the query's Connected with the process that listens.
func (s *slot) checkPeer() *failure.Failure {
	peer, err := peerOf(s.fd)
	if err != nil {
		return internal(err)
	}
	return callConnected(s.query, peer)
}

// send sends the request, which an empty socket takes at once.
func (l *Loop) send(i int32) *failure.Failure {
	s := &l.slots[i]
	n, err := unix.Write(s.fd, s.request)
	switch {
	case err == unix.EPIPE || err == unix.ECONNRESET:
		return closed
	case err != nil || n != len(s.request):
		return internal(cmp.Or(err, errShortWrite))
	}
	s.connected = true
	return nil
}

// watch adds the slot to the epoll set.
func (l *Loop) watch(i int32) *failure.Failure {
	s := &l.slots[i]
	event := unix.EpollEvent{Events: unix.EPOLLIN, Fd: i}
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, s.fd, &event); err != nil {
		return internal(err)
	}
	return nil
}

// check fails the slot's query if its time is over, and otherwise connects it if it is not
// connected yet. A sandbox that used up its timeout has stalled, even if the run is over too.
func (l *Loop) check(i int32, now time.Time) {
	switch s := &l.slots[i]; {
	case s.fd == noFD:
	case now.Sub(s.began) >= s.timeout:
		l.fail(i, stalled, now)
	case l.over(s.run, now):
		l.fail(i, outOfTime, now)
	case !s.connected:
		l.connect(i)
	}
}

// took returns how long the slot's query has been in flight. It is above 0, which stands for a
// query that was never begun.
func (s *slot) took(at time.Time) time.Duration { return max(at.Sub(s.began), 1) }

// fail ends the slot's query with a failure.
func (l *Loop) fail(i int32, f *failure.Failure, at time.Time) {
	s := &l.slots[i]
	r, q, took := s.run, s.query, s.took(at)
	l.release(i)
	callFail(q, f, took)
	l.countEnd(r)
}

// succeed ends the slot's query after a Read that returned true, and begins the query that follows.
func (l *Loop) succeed(i int32) {
	r, next := l.slots[i].run, callNext(l.slots[i].query)
	if next != nil {
		l.follow(i, next, time.Now())
		return
	}
	l.release(i)
	l.countEnd(r)
}

// follow sends a query on the connection of the slot, whose query has ended. The run counts both as
// one query, so that it ends after the second.
func (l *Loop) follow(i int32, next Query, now time.Time) {
	s := &l.slots[i]
	address, throttled := s.address, s.throttled
	l.pool.put(s.partial)
	target, f := targetOf(next)
	target.address = address // also if next has failed to return it: release needs it
	*s = slot{run: s.run, query: next, target: target, fd: s.fd, began: now}
	if f == nil && l.over(s.run, now) {
		f = neverSent
	}
	if f == nil {
		l.queries.Add(1)
		f = l.send(i)
	}
	if f == nil && throttled {
		f = l.watch(i)
	}
	if f != nil {
		l.fail(i, f, now)
	}
}

// release closes the slot's connection, which takes it out of the epoll set, and frees the slot.
func (l *Loop) release(i int32) {
	s := &l.slots[i]
	if s.fd != noFD {
		hangUp(s.fd, s.address, l.refuses)
	}
	l.pool.put(s.partial)
	s.run.inFlight--
	*s = slot{fd: noFD}
	l.free = append(l.free, i)
}
