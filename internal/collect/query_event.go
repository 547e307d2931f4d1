package collect

import (
	"errors"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// eventQuery requests from a sandbox what its containers use. It follows the export query on its
// connection, and is no kind of its own. With Options.UsageDetail it follows itself, once for each
// further container. If it fails, the sandbox keeps its metrics.
type eventQuery struct {
	query
	ids  []string      // of the containers
	at   int           // index of the container that it is about
	used time.Duration // by the queries before it on the connection
}

// after returns the query if it is due after an export query that took the time, or nil. The caller
// holds mu.
func (q *eventQuery) after(took time.Duration) *eventQuery {
	if q.meter == nil || q.life.end != nil || !q.life.usage.wanted() {
		return nil
	}
	q.begin()
	q.ids = q.ids[:0]
	for _, c := range q.life.usage.reported.containers {
		q.ids = append(q.ids, c.ID)
	}
	q.at, q.used = 0, took
	return q
}

// Next implements control.Query.
func (q *eventQuery) Next() control.Query {
	if q.options.UsageDetail && q.at+1 < len(q.ids) {
		q.at++
		return q
	}
	return nil
}

// Request implements control.Query.
func (q *eventQuery) Request() []byte { return control.EventRequest(q.id()) }

func (q *eventQuery) id() string { return q.ids[q.at] }

// Limit implements control.Query.
func (q *eventQuery) Limit() int { return verify.MaxEventReply }

// Timeout implements control.Query. All queries on a connection together have the time of one.
func (q *eventQuery) Timeout() time.Duration {
	return min(q.budget.timeout(q.whole()), max(q.whole()-q.used, 0))
}

// Read implements control.Query.
func (q *eventQuery) Read(reply control.Reply, took time.Duration) (whole bool) {
	defer q.lock()()
	if q.over() {
		return true
	}
	reported := &q.life.usage.reported
	event, err := verify.ReadEvent(reply, q.id(), reported.containers)
	if errors.Is(err, verify.ErrIncomplete) {
		return false
	}
	q.budget.replied(took, q.whole())
	q.used += took
	if err != nil {
		reported.fail(failure.New(failure.ReplyRefused, err))
		return true
	}
	q.life.takeClaims(q.at, &event)
	return true
}

// Fail implements control.Query.
func (q *eventQuery) Fail(f *failure.Failure, took time.Duration) {
	defer q.lock()()
	q.budget.failed(f, took)
	q.life.usage.reported.fail(f)
}
