package collect

import (
	"context"
	"sync"

	"github.com/sandmeter/sandmeter/internal/clock"
	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/guard"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/proof"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// An env is what all parts of a collector have in common. mu guards lives and everything else that is
// kept; nothing holds it while it waits for a sandbox.
type env struct {
	options Options
	loop    *control.Loop
	watcher *host.Watcher
	meter   *host.Meter // nil: without Options.Usage

	background sync.WaitGroup // the goroutines of the collector
	alive      context.Context
	die        context.CancelFunc // ends alive

	// Replaced in tests.
	clock        clock.Clock
	guard        *guard.Guard // for all calls that touch a runtime root; mu is not held during one
	looksLike    proof.Resemblance
	kernelLevels int
	pageBase     int

	repeating sync.Mutex // held by the one goroutine that takes mu to measure again; see again

	mu       sync.Mutex
	verifier verify.Verifier
	waiting  fact.Figure  // time for which any task of the node has waited for a CPU, as of the collection under way
	scratch  fact.Reading // of the sandbox that is measured now
	usages   usagePools
	ending   bool // no goroutine may begin any more
	closed   bool // calls to roots that did not answer in time must not touch anything any more
	foreign  bool // some sandboxes run in another PID namespace, and the log has a line about it
	counts   counts

	sharedLines  map[failure.Reason]*logBudget // for lines about reasons that all sandboxes share
	refusedLines logBudget                     // for lines about final metrics logs
}

// usagePools have the memory of usage in snapshots.
type usagePools struct {
	usages     snapshot.Pool[snapshot.Usage]
	interfaces snapshot.Pool[fact.Interface]
	shares     snapshot.Pool[snapshot.Share]
	figures    snapshot.Pool[fact.Figure]
}

// counts are the collector's counters.
type counts struct {
	unregistered int64 // sandboxes, by clients
	refusedLogs  int64 // final metrics logs
}
