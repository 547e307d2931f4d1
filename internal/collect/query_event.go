package collect

import (
	"errors"
	"slices"
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
	containers []verify.Container // of the sandbox
	at         int                // index of the container that it is about
}

// eventAfter returns the query about the first container if it is due after another query, or nil. The
// caller holds mu.
func (l *life) eventAfter(before *query) control.Query {
	if l.meter == nil || before.over() || !l.usage.wanted() {
		return nil
	}
	q := &queriesOf(l).event
	q.begin(before.used)
	q.at, q.containers = 0, l.usage.reported.containers
	return q
}

// over also reports whether containers were created or deleted meanwhile. The caller holds mu.
func (q *eventQuery) over() bool {
	return q.query.over() || !slices.Equal(q.containers, q.life.usage.reported.containers)
}

// Next implements control.Query.
func (q *eventQuery) Next() control.Query {
	defer q.lock()()
	switch {
	case q.over():
		return nil
	case q.options.UsageDetail && q.at+1 < len(q.containers):
		q.at++
		return q
	}
	return q.life.savingsAfter(&q.query)
}

// Request implements control.Query.
func (q *eventQuery) Request() []byte { return control.EventRequest(q.id()) }

func (q *eventQuery) id() string { return q.containers[q.at].ID }

// Limit implements control.Query.
func (q *eventQuery) Limit() int { return verify.MaxEventReply }

// Read implements control.Query.
func (q *eventQuery) Read(reply control.Reply, took time.Duration) (whole bool) {
	defer q.lock()()
	reported := &q.life.usage.reported
	if q.over() {
		return true
	}
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
