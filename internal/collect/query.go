package collect

import (
	"cmp"
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
)

// A kind is a kind of query that a sandbox is asked in each collection. Another kind is another file like query_export.go, and a line in
// sandbox.forget. All methods are called by the collecting goroutine or the loop's, never by both at once.
type kind interface {
	control.Query
	// due reports whether the sandbox is to be queried in this collection.
	due() bool
	// rank is the place in the order of queries.
	rank() int
}

// query is what all kinds have in common.
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

// whole is the time that a sandbox gets that has not stalled.
func (q *query) whole() time.Duration { return q.collector.options.SandboxTimeout }

// prepare readies all sandboxes for a collection, and appends the queries that are due, in their order.
func (t *table) prepare(queries []control.Query) []control.Query {
	for _, s := range t.sorted {
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
