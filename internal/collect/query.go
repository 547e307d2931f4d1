package collect

import (
	"cmp"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A kind is a kind of query that is sent to a sandbox in each collection, on a connection of its own. To add a kind, add a file
// like query_export.go and a line in sandbox.reset. The collecting goroutine and the loop's
// goroutine call the methods, never both at once.
type kind interface {
	control.Query
	// due reports whether to send the query in this collection.
	due() bool
	// rank returns the place in the order of queries; low ranks go first.
	rank() int
}

// query is the part that all kinds have in common.
type query struct {
	collector *Collector
	sandbox   *sandbox
	budget    timeBudget
}

func (q *query) rank() int { return q.budget.rank() }

// Address implements control.Query.
func (q *query) Address() *control.Address { return q.sandbox.address }

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
				queries = append(queries, k)
			}
		}
	}
	slices.SortStableFunc(queries, func(a, b control.Query) int { return cmp.Compare(a.(kind).rank(), b.(kind).rank()) })
	return queries
}
