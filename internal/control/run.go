package control

import (
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
)

// run is one call of Run.
type run struct {
	queries  []Query
	deadline time.Time
	alarms   []Alarm       // to come, in the order of their times
	next     int           // index of the first query not yet begun
	inFlight int           // queries that have a slot
	left     int           // queries that have not ended
	done     chan struct{} // closed when left is 0
}

// mayBegin reports whether the run has a query to begin and is below its share of the slots.
func (r *run) mayBegin() bool { return r.next < len(r.queries) && r.inFlight < width }

// over reports whether the time of the run is over.
func (l *Loop) over(r *run, now time.Time) bool { return l.stopped.Load() || !now.Before(r.deadline) }

// takeTurn returns the next run, in rotation, that may begin a query, or nil if none may.
func (l *Loop) takeTurn() *run {
	for range l.runs {
		l.turn = (l.turn + 1) % len(l.runs)
		if r := l.runs[l.turn]; r.mayBegin() {
			return r
		}
	}
	return nil
}

// skip fails the run's next query without beginning it.
func (l *Loop) skip(r *run, f *failure.Failure) {
	q := r.queries[r.next]
	r.next++
	callFail(q, f, 0)
	l.countEnd(r)
}

// skipRest fails all queries of a run whose time is over that have not begun.
func (l *Loop) skipRest(r *run) {
	for r.next < len(r.queries) {
		l.skip(r, neverSent)
	}
}

// countEnd is called after each end of a query, and ends the run after the last.
func (l *Loop) countEnd(r *run) {
	r.left--
	if r.left > 0 {
		return
	}
	i := slices.Index(l.runs, r)
	l.runs = slices.Delete(l.runs, i, i+1)
	if i <= l.turn {
		l.turn-- // it is still the next run's turn
	}
	if len(l.runs) == 0 {
		l.pool.trim()
	}
	close(r.done)
}
