package collect

import (
	"cmp"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A kind is a kind of query that is sent to a sandbox in each collection, on a connection of its own. To add a kind, add a file
// like query_export.go and a line in sandbox.reset. The collecting goroutine calls begin, due and
// rank, and holds the collector's mu. The loop's goroutine calls the methods of control.Query. It does not hold
// mu: methods that touch the sandbox take it.
type kind interface {
	control.Query
	// begin takes over from the sandbox what the query needs, before it is sent.
	begin()
	// due reports whether to send the query in this collection.
	due() bool
	// rank returns the place in the order of queries; low ranks go first.
	rank() int
}

// query is the part that all kinds have in common.
type query struct {
	collector *Collector
	sandbox   *sandbox
	budget    timeBudget // the collecting goroutine's between queries, and the loop's goroutine's during one

	// From begin on.
	address *control.Address
	epoch   int // of the sandbox
}

func (q *query) begin() { q.address, q.epoch = q.sandbox.address, q.sandbox.epoch }

// over reports whether the sandbox has no use for the reply any more, because its life is closed or
// it has another process or registration by now. The caller holds mu.
func (q *query) over() bool { return q.sandbox.end != nil || q.epoch != q.sandbox.epoch }

// lock takes the collector's mu, which the function that it returns releases.
func (q *query) lock() (unlock func()) {
	q.collector.mu.Lock()
	return q.collector.mu.Unlock
}

func (q *query) rank() int { return q.budget.rank() }

// Address implements control.Query.
func (q *query) Address() *control.Address { return q.address }

// Timeout implements control.Query.
func (q *query) Timeout() time.Duration { return q.budget.timeout(q.whole()) }

// whole returns the timeout of a sandbox that has not stalled.
func (q *query) whole() time.Duration { return q.collector.options.SandboxTimeout }

// Next implements control.Query: nothing follows.
func (q *query) Next() control.Query { return nil }

// prepare resets the selected sandboxes for a collection, and appends their queries that are due,
// sorted by rank. It leaves the baselines and time budgets of others as they are.
func (t *table) prepare(queries []control.Query, selected snapshot.Union) []control.Query {
	matches := selected.Matcher()
	for _, s := range t.sorted {
		s.selected = matches(s.identity.Labels)
		if !s.prepare() {
			continue
		}
		for _, k := range s.kinds {
			if k.due() {
				k.begin()
				queries = append(queries, k)
			}
		}
	}
	slices.SortStableFunc(queries, func(a, b control.Query) int { return cmp.Compare(a.(kind).rank(), b.(kind).rank()) })
	return queries
}
