// Package collect is the pipeline on one screen: it finds the sandboxes, queries each, has every reply verified, and puts what holds into a
// snapshot. What goes wrong with one sandbox is that sandbox's failure, and the snapshot says so.
package collect

import (
	"errors"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// MaxDuration is how long a collection lasts at most, whatever its readers allow. Sandboxes that it does not reach go first in the next one.
const MaxDuration = 5 * time.Second

// Options say what a Collector collects.
type Options struct {
	// Roots are the runtime roots: directories, and globs that are evaluated again for each collection. At least one.
	Roots []string
	// MatchAddress limits the sandboxes to those that were created with this --metric-server, %RUNTIME_ROOT% in either being replaced by
	// the sandbox's root. Empty: every sandbox that has a registration.
	MatchAddress string
	// OnlySandbox limits the sandboxes to the one with this ID, whatever it registered and whatever its address. Empty: no limit.
	OnlySandbox string
	// AllowUnknownRoot makes a single runtime root that does not exist one without sandboxes, rather than an error. That it cannot be read
	// for another reason is an error all the same. Of several, or a glob, each may be missing or unreadable.
	AllowUnknownRoot bool
	// DropIn leaves out what gVisor's own metric server does not say of itself, as long as nothing is wrong.
	DropIn bool
	// KeepEnded keeps sandboxes whose processes have ended in snapshots, until runsc deletes their state files.
	KeepEnded      bool
	SandboxTimeout time.Duration // how long one sandbox may hold a collection
	StartTime      time.Time     // of the process
	ShowTime       bool          // snapshots say in a family of their own when they were taken: they may be served again
	Logger         *slog.Logger
	// LogLinesDropped returns how many log lines were dropped, for a family of its own. It must not block. Nil: there is no such family.
	LogLinesDropped func() int64
}

// A Collector collects. It is safe for concurrent use; Close it when it is no longer needed.
//
// Collections are made one after the other, so that each sandbox is queried, verified and committed once at a time, and none looks out of
// order. The collection under way holds mu to its end. While its queries run, its goroutine waits, and the table belongs to the loop's
// goroutine, which calls the queries' methods and makes the cuts; handing them over to Run and returning from it orders the two.
type Collector struct {
	options Options
	loop    *control.Loop
	watcher *host.Watcher

	served atomic.Pointer[[]string] // what Roots returns

	mu       sync.Mutex
	table    *table
	verifier verify.Verifier
	queries  []control.Query // memory for the next collection's
	samples  []snapshot.Sample
	pageBase int // as the constant of that name, or less in tests
}

// New returns a Collector.
func New(o Options) (*Collector, error) {
	loop, err := control.NewLoop()
	if err != nil {
		return nil, err
	}
	watcher, err := host.NewWatcher()
	if err != nil {
		loop.Close()
		return nil, err
	}
	c := &Collector{options: o, loop: loop, watcher: watcher, pageBase: pageBase}
	c.table = newTable(c)
	paths, _ := c.table.roots.expand()
	c.served.Store(&paths)
	return c, nil
}

// Stop makes a collection that is under way, and any to come, end with what sandboxes have replied by now.
func (c *Collector) Stop() { c.loop.Stop() }

// Close waits for a collection that is under way, and releases all file descriptors. None may begin later, nor a Look.
func (c *Collector) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.table.close()
	return errors.Join(c.loop.Close(), c.watcher.Close())
}

// CheckRoot reports whether a collection would fail at this moment because the runtime root cannot be read.
func (c *Collector) CheckRoot() error {
	if r := roots(c.options.Roots); !r.single() {
		return nil
	}
	err := state.NewRoot(c.options.Roots[0]).Check()
	if c.options.excuses(err) {
		return nil
	}
	return err
}

// excuses reports whether the error of a single runtime root is none.
func (o *Options) excuses(err error) bool {
	return o.AllowUnknownRoot && errors.Is(err, fs.ErrNotExist)
}

// Roots returns the directories of the runtime roots that were served when the last collection, or Look, began, in the order of the
// configuration. They must not be changed. Roots never waits.
func (c *Collector) Roots() []string { return *c.served.Load() }

// A RootError says that the runtime root could not be read.
type RootError struct{ Err error }

// Passing reports whether that is for lack of file descriptors or memory, and says nothing about the root.
func (e *RootError) Passing() bool { return lacksResources(e.Err) }

func (e *RootError) Error() string { return e.Err.Error() }

// Unwrap returns the reason.
func (e *RootError) Unwrap() error { return e.Err }

// A Plan says how long a collection lasts.
type Plan struct {
	// Deadline is when it ends at the latest. It ends MaxDuration after its begin in any case.
	Deadline time.Time
	// Cuts are times at which OnCut is given what has been verified by then, in order; what is missing has failed for lack of time. It is not
	// called for times after the end. It must not block, and is called by another goroutine than Collect's, one call at a time and never after
	// Collect has returned. A cut is a snapshot like any other and may be kept.
	Cuts  []time.Time
	OnCut func(i int, cut *snapshot.Snapshot)
}

// Collect waits for a collection that is under way, then makes one. The error is a *RootError.
func (c *Collector) Collect(plan Plan) (*snapshot.Snapshot, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	began := time.Now()
	if err := c.table.list(); err != nil {
		return nil, err
	}
	c.watcher.Sync()
	c.query(began, plan)
	c.table.clearFailuresOfExited()
	snap := c.snapshot(began, false)
	c.table.logFailures()
	c.logCollection(snap)
	return snap, nil
}

// query queries all sandboxes that can be queried, in the order of the time that they used in the last collections.
func (c *Collector) query(began time.Time, plan Plan) {
	alarms := make([]control.Alarm, len(plan.Cuts))
	for i, at := range plan.Cuts {
		alarms[i] = control.Alarm{At: at, Do: func() { plan.OnCut(i, c.cut(began)) }}
	}
	deadline := began.Add(MaxDuration)
	if plan.Deadline.Before(deadline) {
		deadline = plan.Deadline
	}
	c.queries = c.table.prepare(c.queries[:0])
	c.loop.Run(c.queries, deadline, alarms...)
	clear(c.queries)
}

// cut returns a snapshot of what is known in the middle of a collection.
func (c *Collector) cut(began time.Time) *snapshot.Snapshot {
	c.watcher.Sync()
	return c.snapshot(began, true)
}

// Look finds out which sandboxes there are, without querying any of them: their processes are watched from then on. It waits for a collection
// that is under way. The error is a *RootError.
func (c *Collector) Look() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.table.list()
}

// lacksResources reports whether an error is about what the process lacks for the moment, and not about the runtime root.
func lacksResources(err error) bool {
	return errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ENOMEM)
}
