package collect

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/registration"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// query is the part that all kinds of queries have in common. In each collection, a sandbox gets the export
// query, and the others follow on its connection. To add a kind, add a file like query_savings.go, and return
// the query in Next of the one before it. The collecting goroutine begins the export query, and holds the
// collector's mu. The loop's goroutine calls the methods of control.Query. It does not hold mu: methods that
// touch the sandbox take it.
type query struct {
	*env
	life   *life
	budget timeBudget // the collecting goroutine's between queries, and the loop's goroutine's during one

	// From begin on.
	address *control.Address
	epoch   int           // of the life
	used    time.Duration // by the queries before it on the connection
}

// begin takes over from the sandbox what the query needs, before it is sent.
func (q *query) begin(used time.Duration) {
	q.address, q.epoch, q.used = q.life.address, q.life.epoch, used
}

// over reports whether the sandbox has no use for the reply any more, because its life is closed or
// it has another process or registration by now. The caller holds mu.
func (q *query) over() bool { return q.life.end != nil || q.epoch != q.life.epoch }

// lock takes the collector's mu, which the function that it returns releases.
func (q *query) lock() (unlock func()) {
	q.mu.Lock()
	return q.mu.Unlock
}

// Address implements control.Query.
func (q *query) Address() *control.Address { return q.address }

// Timeout implements control.Query. All queries on a connection together have the time of one.
func (q *query) Timeout() time.Duration {
	return min(q.budget.timeout(q.whole()), max(q.whole()-q.used, 0))
}

// whole returns the timeout of a sandbox that has not stalled.
func (q *query) whole() time.Duration { return q.options.SandboxTimeout }

// replied records a whole reply, accepted or refused.
func (q *query) replied(took time.Duration) {
	q.budget.replied(took, q.whole())
	q.used += took
}

// Next implements control.Query: nothing follows.
func (q *query) Next() control.Query { return nil }

// Connected implements control.Query. It checks on every connection that the sandbox's process is
// the listener.
func (q *query) Connected(peer int) *failure.Failure {
	defer q.lock()()
	l := q.life
	switch now := l.now(); {
	case now == unproven:
		return l.unproven
	case now == elsewhere && peer == 0:
		return nil
	case l.process.PID() != 0 && peer == l.process.PID():
		l.presumed = false
		return nil
	}
	wrong := failure.Newf(failure.WrongPeer, "process %d listens on the control socket instead of process %d of the sandbox", peer, l.process.PID())
	if l.presumed {
		l.distrust(wrong)
	}
	return wrong
}

// queries are the queries of a life, with their time budgets.
type queries struct {
	export  exportQuery
	event   eventQuery
	savings savingsQuery
}

// queriesOf returns the queries of a life. They are made when they are needed first, and again after a
// reset.
func queriesOf(l *life) *queries {
	if l.queries == nil {
		with := query{env: l.env, life: l}
		l.queries = &queries{exportQuery{query: with}, eventQuery{query: with}, savingsQuery{with}}
	}
	return l.queries
}

// exportQueries resets the selected lives for a collection, and appends their queries, sorted by rank. It
// leaves the baselines and time budgets of others as they are.
func exportQueries(queries []control.Query, lives []*life, selected snapshot.Union) []control.Query {
	matches := selected.Matcher()
	for _, l := range lives {
		if l.selected = matches(l.identity.Labels); l.prepare() {
			q := &queriesOf(l).export
			q.begin()
			queries = append(queries, q)
		}
	}
	rank := func(q control.Query) int { return q.(*exportQuery).budget.rank() }
	slices.SortStableFunc(queries, func(a, b control.Query) int { return cmp.Compare(rank(a), rank(b)) })
	return queries
}

var errNotInstrumented = errors.New("no metrics registered")

// prepare resets the sandbox for a collection, and reports whether to query it. A sandbox that is
// not selected keeps its failure, unless its state files alone are the reason for one.
func (l *life) prepare() bool {
	flaw := l.flaw()
	if l.selected || flaw != nil {
		l.failure, l.took = flaw, 0
	}
	l.pending = l.selected && l.now().runs() && flaw == nil
	return l.pending
}

// flaw returns why the state files do not allow a query, or nil.
func (l *life) flaw() *failure.Failure {
	switch {
	case !l.now().runs():
		return nil
	case l.refused != nil:
		return l.refused
	case l.now() == unproven:
		return l.unproven
	case l.compiled == nil && errors.Is(l.borrowErr, registration.ErrIncomplete):
		return failure.New(failure.RegistrationIncomplete, l.borrowErr)
	case l.compiled == nil:
		return failure.New(failure.NotInstrumented, cmp.Or(l.borrowErr, errNotInstrumented))
	}
	return l.compiled.failure
}
