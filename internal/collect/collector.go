// Package collect finds the sandboxes, queries each, verifies every reply, and makes a snapshot of
// the verified values. An error of one sandbox is a failure of that sandbox only, and is part of
// the snapshot.
package collect

import (
	"sync"
	"sync/atomic"

	"github.com/sandmeter/sandmeter/internal/control"
)

// A Collector makes snapshots of the sandboxes of one or more runtime roots. It is safe for
// concurrent use. Close it when it is no longer needed.
//
// Two locks order what happens. A collection, or Look, holds turn from its start to its end, so there
// is one at a time, and only it lists the roots and changes which sandboxes are in the table's list.
// mu guards the sandboxes and everything else that is kept. Nothing holds mu while it waits for a
// sandbox, so queries outside of collections, new sandboxes and ends do not wait for a collection:
// the goroutine that collects holds mu before and after its queries, and the loop's goroutine takes
// it for each reply. turn is taken before finishing, and finishing before mu. The locks of host are
// taken last.
type Collector struct {
	*env
	table *table // guarded by mu

	ends     *endings
	arrivals slots // for first samples
	clients  slots // for samples that clients wait for

	due     atomic.Int32 // collections that wait for turn
	turn    sync.Mutex
	order   []*life         // reused by the next measurement
	queries []control.Query // reused by the next collection
	traffic control.Traffic // at the start of the collection

	finishing chan struct{} // has a value while ends are closed, one after the other

	arrived chan struct{} // closed, and made anew, when there is a new sandbox; guarded by mu
	waiters int           // new sandboxes that wait for their first sample; guarded by mu
}

// slots limit how many queries are under way at once: each puts a value in.
type slots chan struct{}
