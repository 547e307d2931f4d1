package control

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/guard"
)

const (
	// width is how many queries of one run are in flight at once. That many sandboxes may stall,
	// each for its whole time, before the others of the run have to wait.
	width = 256
	// reserve is how many more queries are in flight at once if there are several runs, so that a
	// run whose sandboxes all stall does not hold up the next one.
	reserve = 16
	// tick is the precision of deadlines, and the interval at which connecting to a sandbox with a
	// full backlog is tried again.
	tick = 5 * time.Millisecond
)

// A Loop sends queries to many sandboxes at once and receives their replies. Run and Stop are safe
// for concurrent use. A Loop that is no longer needed has to be closed.
type Loop struct {
	// The fields that goroutines share. A run is handed to the loop's goroutine over the unbuffered
	// channel incoming and comes back by the close of its own channel, done. Between the two it
	// belongs to the loop's goroutine; the two channel operations order all that either side does
	// with it.
	incoming chan *run     // closed by Close
	ended    chan struct{} // closed when the goroutine has ended
	stopped  atomic.Bool

	queries, received atomic.Int64 // see Traffic

	connecting atomic.Int64            // number of the connection that is being made; see tryConnect
	address    atomic.Pointer[Address] // of that connection
	taking     sync.Mutex              // held while a goroutine takes over
	returned   sync.Map                // by number: what to call when a connection that hung has returned

	// All other fields are used by the loop's goroutine only, and so need no lock.
	epoll   int
	events  []unix.EpollEvent
	buffer  []byte // of chunk bytes
	refuses bool   // whether sockets block file descriptors
	slots   []slot
	free    []int32 // indexes of slots
	pool    pool
	runs    []*run // that have not ended, in the order in which they came
	turn    int    // index of the run that was the last to begin a query

	guard    *guard.Guard
	attempts int64 // connections so far
	slot     int32 // of the last one
}

// NewLoop returns a Loop and starts its goroutine. The guard knows the directories that hang.
func NewLoop(g *guard.Guard) (*Loop, error) {
	l, err := newLoop(g)
	if err == nil {
		go l.serve()
	}
	return l, err
}

// newLoop returns a Loop without a goroutine.
func newLoop(g *guard.Guard) (*Loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	const slots = width + reserve
	l := &Loop{
		guard:    g,
		incoming: make(chan *run),
		ended:    make(chan struct{}),
		epoll:    epoll,
		events:   make([]unix.EpollEvent, slots),
		buffer:   make([]byte, chunk),
		refuses:  refusing(),
		slots:    make([]slot, slots),
		free:     make([]int32, slots),
		pool:     pool{most: heldMax},
		turn:     -1,
	}
	for i := range l.slots {
		l.slots[i].fd = noFD
		l.free[i] = int32(slots - 1 - i)
	}
	return l, nil
}

// Run begins the queries, in order, many at a time, and returns when each has ended, at the latest
// at deadline plus the time that it takes to tell them. The queries must not be changed until then,
// but the Loop keeps neither them nor the slice after that. A query may be in one run at a time
// only.
//
// Runs that overlap share the Loop and take turns to begin a query, so a run does not wait for all
// queries of an earlier one. Run joins those under way within 5 ms, or, when the loop's goroutine
// is busy, after the replies that have arrived.
//
// The alarms are run at their times, until the last of the queries ends; a run without queries ends
// before any.
func (l *Loop) Run(queries []Query, deadline time.Time, alarms ...Alarm) {
	if len(queries) == 0 {
		return
	}
	slices.SortStableFunc(alarms, func(a, b Alarm) int { return a.At.Compare(b.At) })
	r := &run{queries: queries, deadline: deadline, alarms: alarms, left: len(queries), done: make(chan struct{})}
	l.incoming <- r
	l.await(r)
}

// In returns the time that is d from now, by the clock of deadlines and alarms.
func (l *Loop) In(d time.Duration) time.Time { return time.Now().Add(d) }

// Traffic is what a Loop has sent and received in total.
type Traffic struct {
	Queries int64 // begun
	Bytes   int64 // received
}

// Since returns the difference to an earlier Traffic of the same Loop.
func (t Traffic) Since(earlier Traffic) Traffic {
	return Traffic{t.Queries - earlier.Queries, t.Bytes - earlier.Bytes}
}

// Traffic returns the totals since NewLoop. It is safe for concurrent use. The queries that have
// ended count in full.
func (l *Loop) Traffic() Traffic { return Traffic{l.queries.Load(), l.received.Load()} }

// Stop makes every run under way, and all to come, end as if its deadline had come. It does not
// wait for them.
func (l *Loop) Stop() { l.stopped.Store(true) }

// Close ends the loop's goroutine, waits for it, and releases the Loop's file descriptor. No Run
// may be under way or begin later, and Close is called once.
func (l *Loop) Close() error {
	close(l.incoming)
	<-l.ended
	return unix.Close(l.epoll)
}

// serve is the loop's goroutine.
func (l *Loop) serve() {
	swept := time.Now()
	for l.accept() {
		l.runAlarms()
		l.begin()
		if l.inFlight() == 0 {
			continue // all queries that were begun have failed at once
		}
		// Data that has arrived is read before a sandbox counts as late, since this process may
		// have caused the delay.
		now := time.Now()
		if l.wait() && now.Sub(swept) >= tick {
			l.sweep(now)
			swept = now
		}
	}
	close(l.ended)
}

// accept takes the runs that wait in Run. It blocks if there is nothing else to do, and reports
// false when the Loop is closed.
func (l *Loop) accept() bool {
	for {
		if len(l.runs) == 0 {
			r, open := <-l.incoming
			if !open {
				return false
			}
			l.runs = append(l.runs, r)
			continue
		}
		select {
		case r, open := <-l.incoming:
			if !open {
				return true // the runs under way end first
			}
			l.runs = append(l.runs, r)
		default:
			return true
		}
	}
}

// sweep reads throttled replies, fails queries past their deadlines, and retries pending
// connections.
func (l *Loop) sweep(now time.Time) {
	for i := range l.slots {
		if l.slots[i].throttled {
			l.read(int32(i), now)
		}
		l.check(int32(i), now)
	}
	// Backward, since a run that ends leaves the slice.
	for _, r := range slices.Backward(l.runs) {
		if l.over(r, now) {
			l.skipRest(r)
		}
	}
}
