package collect

import (
	"errors"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// eventQuery requests from a sandbox what its containers use. It follows the export query. With
// Options.UsageDetail it follows itself, once for each further container. If it fails, the sandbox keeps
// its metrics.
type eventQuery struct {
	query
	ids []string // of the containers
	at  int      // index of the container that it is about
}

// eventAfter returns the query about the first container if it is due after another query, or nil. The
// caller holds mu.
func (l *life) eventAfter(before *query) control.Query {
	if l.meter == nil || before.over() || !l.usage.wanted() {
		return nil
	}
	q := &queriesOf(l).event
	q.begin(before.used)
	q.at, q.ids = 0, q.ids[:0]
	for _, c := range l.usage.reported.containers {
		q.ids = append(q.ids, c.ID)
	}
	return q
}

// Next implements control.Query.
func (q *eventQuery) Next() control.Query {
	if q.options.UsageDetail && q.at+1 < len(q.ids) {
		q.at++
		return q
	}
	defer q.lock()()
	return q.life.savingsAfter(&q.query)
}

// Request implements control.Query.
func (q *eventQuery) Request() []byte { return control.EventRequest(q.id()) }

func (q *eventQuery) id() string { return q.ids[q.at] }

// Limit implements control.Query.
func (q *eventQuery) Limit() int { return verify.MaxEventReply }

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
	q.replied(took)
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
