package collect

import (
	"errors"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// maxReply limits the length of a reply, even if the registration would allow a longer one.
const maxReply = 16 << 20

// exportQuery requests all metrics of a sandbox.
type exportQuery struct {
	query

	// From begin on.
	compiled *compiled
	base     verify.Baseline // of the sandbox
	commits  int             // of the sandbox
}

func (q *exportQuery) begin() {
	q.query.begin(0)
	q.compiled, q.base, q.commits = q.life.compiled, q.life.baseline, q.life.commits
}

// Request implements control.Query.
func (q *exportQuery) Request() []byte { return control.ExportRequest() }

// Limit implements control.Query: the length of the largest possible reply, plus a quarter.
func (q *exportQuery) Limit() int {
	largest := q.compiled.schema.MaxReply
	return min(largest+largest/4, maxReply)
}

// Read implements control.Query.
func (q *exportQuery) Read(reply control.Reply, took time.Duration) (whole bool) {
	defer q.lock()()
	f, whole := q.accept(reply)
	if whole {
		q.replied(took)
		q.end(f, took)
	}
	return whole
}

// accept verifies a reply, and makes it the baseline. It returns why it does not, or that the reply
// is not whole yet. The caller holds mu.
//
// Queries of one sandbox may overlap, if one of them is outside of collections. The sandbox decides
// to which it replies first, so a reply may be older than a baseline that came meanwhile, and have
// smaller counters. It has to follow the baseline of the time of its request, or it breaks a rule.
// If it does not follow the newer one as well, that one is later, and stays.
func (q *exportQuery) accept(reply control.Reply) (f *failure.Failure, whole bool) {
	l, verifier := q.life, &q.verifier
	if q.over() {
		return errOver, true
	}
	next, err := verifier.Export(reply, q.compiled.schema, q.base, q.clock.Now())
	switch {
	case errors.Is(err, verify.ErrIncomplete):
		return nil, false
	case err != nil:
		return l.refuse(err), true
	case q.commits != l.commits:
		if next, err = verifier.Export(reply, q.compiled.schema, l.baseline, q.clock.Now()); err != nil {
			return nil, true
		}
	}
	return l.commit(next), true
}

// errOver is the failure of a query whose sandbox has no use for the reply any more.
var errOver = failure.Newf(failure.OutOfTime, "the sandbox changed while it was queried")

// end records the result of the query. The caller holds mu.
func (q *exportQuery) end(f *failure.Failure, took time.Duration) {
	l := q.life
	l.pending, l.failure, l.took = false, f, took
}

// Next implements control.Query. What the sandbox reports of its use does not depend on whether its
// metrics are accepted.
func (q *exportQuery) Next() control.Query {
	defer q.lock()()
	if event := q.life.eventAfter(&q.query); event != nil {
		return event
	}
	return q.life.savingsAfter(&q.query)
}

// Fail implements control.Query.
func (q *exportQuery) Fail(f *failure.Failure, took time.Duration) {
	defer q.lock()()
	q.budget.failed(f, took)
	q.end(f, took)
}

// refuse returns the failure of a sandbox whose reply was refused. If its registration is borrowed,
// a reply that does not fit it may be an honest one of another build.
func (l *life) refuse(err error) *failure.Failure {
	b, ok := errors.AsType[*verify.Breach](err)
	switch {
	case !ok || l.facts.Registration != nil || !b.Rule.OfRegistration():
	case b.Rule == verify.RuleUnregistered && l.borrowed.Printed && l.buildOf().Separate():
		return failure.Newf(failure.RegistrationIncomplete, "runsc does not print all metrics of the kernel that it starts: %w", err)
	default:
		return failure.Newf(failure.RegistrationMismatch, "the registration of its build does not fit: %w", err)
	}
	return failure.New(failure.ReplyRefused, err)
}
