// Package collect finds the sandboxes, queries each, verifies every reply, and makes a snapshot of
// the verified values. An error of one sandbox is a failure of that sandbox only, and is part of
// the snapshot.
package collect

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	dto "github.com/prometheus/client_model/go"
	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/internal/totals"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// MaxDuration is the longest time that a collection may take, even if its readers allow more.
// Sandboxes that it does not reach go first in the next one.
const MaxDuration = 5 * time.Second

// Options configure a Collector.
type Options struct {
	// Roots are the runtime roots: directories, and globs that are evaluated again for each
	// collection. At least one.
	Roots []string
	// MatchAddress limits the sandboxes to those that were created with this --metric-server. In
	// both addresses, %RUNTIME_ROOT% is replaced by the sandbox's root. Empty: every sandbox or, if
	// Registrations is nil, every sandbox that has a registration.
	MatchAddress string
	// Registrations finds the registrations of sandboxes that have none of their own. Nil: they
	// have no metrics.
	Registrations Registrations
	// OnlySandbox limits the sandboxes to the one with this ID, with any address and with or
	// without a registration. Empty: no limit.
	OnlySandbox string
	// AllowUnknownRoot makes a single runtime root that does not exist count as empty instead of an
	// error. A root that is unreadable for another reason is still an error. With several roots, or
	// a glob, each may be missing or unreadable.
	AllowUnknownRoot bool
	// Linger is how long a sandbox stays in snapshots after its end was observed, whether or not its
	// state file remains. LingerMax is how many do at most: the first to have ended leave first.
	Linger    time.Duration
	LingerMax int
	// MaxWithSeries is how many sandboxes have series on pages, the oldest first; 0: all.
	MaxWithSeries int
	// Totals counts over all sandboxes, live and ended. The collector calls it from one goroutine at
	// a time. Nil: nothing is counted.
	Totals *totals.Ledger
	// GroupAnnotation is the key of the annotation in the OCI specs of root containers by which Totals
	// are grouped. Empty: by none.
	GroupAnnotation string
	// Ended receives each sandbox once per life, with its End and its last values, after it ended or
	// was unregistered, one call at a time. It must not block, and must not change the sandbox, whose
	// parts snapshots share. It may be called until Close returns. Nil: no call.
	Ended func(snapshot.Sandbox)
	// FinalLog is the value of runsc's flag --final-metrics-log, which
	// config.CheckFinalMetricsLog accepts. Empty: sandboxes leave no last metrics.
	FinalLog string
	// Usage adds what the host measures of each running sandbox, and what of that its containers
	// used, for which each sandbox is asked.
	Usage bool
	// UsageDetail also adds the memory and processes of each container. Each container takes a query.
	UsageDetail bool
	// HostRoot is the directory below which the host's proc and cgroups are read for that. Empty: /.
	HostRoot       string
	Zeros          schema.Zeros  // counters that are on pages as 0 if a sandbox did not send them
	SandboxTimeout time.Duration // longest time that one sandbox may take to reply
	Logger         *slog.Logger
	// Counters returns what the server has counted outside of collections. It must be safe for
	// concurrent use and must not block. Nil: nothing.
	Counters func() snapshot.Counters
	// Process returns the families about the server process, which become a part of snapshots. The
	// caller does not change them. Nil: none.
	Process func() []*dto.MetricFamily
}

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
	options Options
	loop    *control.Loop
	watcher *host.Watcher
	meter   *host.Meter // nil: without Options.Usage

	served  atomic.Pointer[[]string] // the result of Roots
	listed  atomic.Bool              // the result of Listed
	leftOut atomic.Int64             // roots that are not served because there are too many

	ends       endings
	arrivals   slots          // for first samples
	clients    slots          // for samples that clients wait for
	background sync.WaitGroup // the goroutines of this collector
	alive      context.Context
	die        context.CancelFunc // ends alive

	due     atomic.Int32 // collections that wait for turn
	turn    sync.Mutex
	waiting fact.Figure     // time for which any task of the node has waited for a CPU, as of the collection under way
	order   []*sandbox      // reused by the next measurement
	queries []control.Query // reused by the next collection
	traffic control.Traffic // at the start of the collection

	finishing chan struct{} // has a value while ends are closed, one after the other

	mu       sync.Mutex
	table    *table
	verifier verify.Verifier
	scratch  fact.Reading // of the sandbox that is measured now
	usages   usagePools
	pageBase int           // the constant pageBase, or less in tests
	arrived  chan struct{} // closed, and made anew, when there is a new sandbox
	waiters  int           // new sandboxes that wait for their first sample
	counts   counts
}

// counts are what the collector has counted.
type counts struct {
	unregistered int64 // sandboxes, by clients
	refusedLogs  int64 // final metrics logs
}

// New returns a Collector.
func New(o Options) (*Collector, error) {
	loop, err := control.NewLoop()
	if err != nil {
		return nil, err
	}
	c := &Collector{options: o, loop: loop, pageBase: pageBase, ends: newEndings(), arrivals: make(slots, maxOutside/2), clients: make(slots, maxOutside/2),
		finishing: make(chan struct{}, 1), arrived: make(chan struct{})}
	c.alive, c.die = context.WithCancel(context.Background())
	if c.watcher, err = host.NewWatcher(c.ends.wake); err != nil {
		loop.Close()
		return nil, err
	}
	if o.Usage {
		if c.meter, err = host.NewMeter(o.HostRoot); err != nil {
			return nil, errors.Join(err, loop.Close(), c.watcher.Close())
		}
	}
	c.table = newTable(c)
	c.table.expand()
	c.background.Go(c.attendEnds)
	return c, nil
}

// Stop ends the collection under way, and any later one, at once, with the replies that have
// arrived. It does not wait.
func (c *Collector) Stop() { c.loop.Stop() }

// Close waits for the collection under way, closes the lives of sandboxes that have ended, and
// releases all file descriptors. No other method may be called after Close.
func (c *Collector) Close() error {
	c.die()
	c.background.Wait()
	c.turn.Lock()
	defer c.turn.Unlock()
	c.watcher.Sync()         // notes the ends that happened until now,
	err := c.watcher.Close() // and this waits for those that are being noted
	c.finishEnded(true)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.table.close()
	return errors.Join(c.loop.Close(), err)
}

// CheckRoot returns the error with which a collection would fail now because the runtime root
// cannot be read, or nil.
func (c *Collector) CheckRoot() error {
	if r := roots(c.options.Roots); !r.single() {
		return nil
	}
	err := state.NewRoot(c.options.Roots[0]).Check()
	if c.options.allowsMissing(err) {
		return nil
	}
	return err
}

// allowsMissing reports whether err means that the single runtime root is missing, and the options
// allow that.
func (o *Options) allowsMissing(err error) bool {
	return o.AllowUnknownRoot && errors.Is(err, fs.ErrNotExist)
}

// Roots returns the directories of the runtime roots that are served, in the order of the
// configuration. Those that appeared after the start of the last collection or Look are last. The
// slice must not be changed. Roots never waits.
func (c *Collector) Roots() []string { return *c.served.Load() }

// Listed reports whether a collection, or Look, has listed the roots without an error since the
// Collector was made. It never waits.
func (c *Collector) Listed() bool { return c.listed.Load() }

// Ready returns nil if all runtime roots are served, or an error whose text tells clients why not. It
// never waits.
func (c *Collector) Ready() error {
	switch n := c.leftOut.Load(); {
	case !c.Listed():
		return errors.New("the runtime roots have not been listed yet; see the server's log")
	case n > 0:
		return fmt.Errorf("runtime roots not served: %d (the limit is %d per server); run another server for them", n, MaxRoots)
	}
	return nil
}

// A RootError is the error of a runtime root that could not be read.
type RootError struct{ Err error }

// Passing reports whether the server lacked file descriptors or memory, in which case the root
// itself may be fine.
func (e *RootError) Passing() bool { return lacksResources(e.Err) }

func (e *RootError) Error() string { return e.Err.Error() }

// Unwrap returns e.Err.
func (e *RootError) Unwrap() error { return e.Err }

// A Plan has the sandboxes and the deadlines of a collection.
type Plan struct {
	// Sandboxes selects the sandboxes to query, which are those in the snapshot and in its cuts. For
	// the others, the server's own families about all sandboxes have the result of the last
	// collection that queried them.
	Sandboxes snapshot.Union
	// Deadline is when the collection ends at the latest. It also ends at the latest MaxDuration
	// after its start.
	Deadline time.Time
	// Cuts are the times, in order, of cuts: snapshots of the replies verified by then. In a cut,
	// sandboxes that have not replied yet have failed with reason out_of_time. OnCut receives each
	// cut. It is not called for times after the end of the collection. It must not block, and is
	// called on another goroutine than Collect's, one call at a time and never after Collect has
	// returned. A cut is immutable and may be kept.
	Cuts  []time.Time
	OnCut func(i int, cut *snapshot.Snapshot)
}

// until returns when a collection ends that began at a time.
func (p *Plan) until(began time.Time) time.Time {
	if end := began.Add(MaxDuration); end.Before(p.Deadline) {
		return end
	}
	return p.Deadline
}

// Collect waits for the collection under way, then makes a new one. The error is a *RootError.
func (c *Collector) Collect(plan Plan) (*snapshot.Snapshot, error) {
	c.due.Add(1)
	c.turn.Lock()
	c.due.Add(-1)
	defer c.turn.Unlock()
	began := time.Now()
	c.traffic = c.loop.Traffic()
	if err := c.list(); err != nil {
		return nil, err
	}
	c.query(began, plan)
	c.clearFailuresOfExited()
	c.finishSome(plan.until(began)) // so that the snapshot has the outcomes
	c.mu.Lock()
	defer c.mu.Unlock()
	snap := c.snapshot(began, plan.Sandboxes, false)
	c.table.logFailures()
	c.table.logUsage()
	c.logCollection(snap)
	return snap, nil
}

// list lists the roots, and records all ends up to now. The caller holds turn.
func (c *Collector) list() error {
	c.watcher.Sync() // so that a sandbox whose file is gone has ended, and not vanished
	c.mu.Lock()
	err := c.table.list()
	c.mu.Unlock()
	if err == nil {
		c.watcher.Sync()
	}
	return err
}

// query measures the sandboxes and sends the queries that are due. Sandboxes that took little time
// in the last collections go first.
func (c *Collector) query(began time.Time, plan Plan) {
	alarms := make([]control.Alarm, len(plan.Cuts))
	for i, at := range plan.Cuts {
		alarms[i] = control.Alarm{At: at, Do: func() { plan.OnCut(i, c.cut(began, plan.Sandboxes)) }}
	}
	deadline := plan.until(began)
	c.mu.Lock()
	c.queries = c.table.prepare(c.queries[:0], plan.Sandboxes)
	c.mu.Unlock()
	c.measure(deadline)
	c.loop.Run(c.queries, deadline, alarms...)
	clear(c.queries)
}

// cut returns a snapshot in the middle of a collection.
func (c *Collector) cut(began time.Time, selected snapshot.Union) *snapshot.Snapshot {
	c.watcher.Sync()
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.snapshot(began, selected, true)
}

// Look lists the roots without querying any sandbox, so that the processes of new sandboxes are
// watched from now on, and their cgroups read at their ends. It waits for the collection under way.
// The error is a *RootError.
//
// If nothing has been listed before, and there are totals of registered counters, Look makes a whole
// collection: counters of sandboxes that are older than the server count from their first values on,
// and some of these sandboxes may end before the first scrape.
func (c *Collector) Look() error {
	if ledger := c.options.Totals; !c.Listed() && ledger != nil && ledger.Registered() {
		_, err := c.Collect(Plan{Deadline: time.Now().Add(MaxDuration)})
		return err
	}
	c.turn.Lock()
	defer c.turn.Unlock()
	if err := c.list(); err != nil {
		return err
	}
	c.measureNew()
	return nil
}

// lacksResources reports whether the server lacked file descriptors or memory, so that the error is
// not about the runtime root.
func lacksResources(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM)
}
