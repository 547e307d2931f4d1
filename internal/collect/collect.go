package collect

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/sandmeter/sandmeter/internal/clock"
	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/guard"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/proof"
	"github.com/sandmeter/sandmeter/internal/roots"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
)

// New returns a Collector.
func New(o Options) (*Collector, error) {
	if o.Clock == nil {
		o.Clock = clock.Real
	}
	if o.Guard == nil {
		o.Guard = guard.New(o.Clock)
	}
	loop, err := control.NewLoop(o.Guard)
	if err != nil {
		return nil, err
	}
	c := &Collector{
		env: &env{options: o, loop: loop, clock: o.Clock, guard: o.Guard, looksLike: proof.Resembles, kernelLevels: proof.KernelLevels, pageBase: pageBase,
			sharedLines: make(map[failure.Reason]*logBudget)},
		ends: newEndings(), arrivals: make(slots, maxOutside/2), clients: make(slots, maxOutside/2),
		finishing: make(chan struct{}, 1), arrived: make(chan struct{}),
	}
	c.alive, c.die = context.WithCancel(context.Background())
	if c.watcher, err = host.NewWatcher(c.ends.wake); err != nil {
		loop.Close()
		return nil, err
	}
	if o.DropPrivileges != nil {
		if err := o.DropPrivileges(); err != nil {
			return nil, errors.Join(err, loop.Close(), c.watcher.Close())
		}
	}
	if o.Usage {
		if c.meter, err = host.NewMeter(o.HostRoot); err != nil {
			return nil, errors.Join(err, loop.Close(), c.watcher.Close())
		}
	}
	c.table = newTable(c.env, c.ends)
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
	c.mu.Lock()
	c.ending = true
	c.mu.Unlock()
	c.background.Wait()
	c.turn.Lock()
	defer c.turn.Unlock()
	c.watcher.SyncAll()      // notes the ends that happened until now,
	err := c.watcher.Close() // and this waits for those that are being noted
	c.finishEnded(true, time.Time{})
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	c.table.close()
	if c.meter != nil {
		c.meter.Close()
	}
	return errors.Join(c.loop.Close(), err)
}

// CheckRoot returns the error with which the single runtime root cannot be read now, or nil. A root that does
// not answer is none.
func (c *Collector) CheckRoot() error {
	if !c.table.roots.Single() {
		return nil
	}
	path := c.options.Roots[0]
	errs := guard.Each(c.guard, listLimit, []string{path}, func(int, guard.Progress) error {
		_, err := state.HasFiles(path)
		return err
	})
	return errs[0]
}

// Roots returns the directories of the runtime roots that are served, in the order of the
// configuration. Those that appeared after the start of the last collection or Look are last. The
// slice must not be changed. Roots never waits.
func (c *Collector) Roots() []string { return *c.table.served.Load() }

// UsageSources returns the mounts of cgroup hierarchies from which sandboxes are measured. It never waits.
func (c *Collector) UsageSources() []string {
	if c.meter == nil {
		return nil
	}
	return c.meter.Sources()
}

// OutcomeSources returns how the Collector learns the exit statuses of sandboxes; see the host.Source constants. It never
// waits.
func (c *Collector) OutcomeSources() []string { return c.watcher.Sources() }

// Listed reports whether a collection, or Look, has listed the roots without an error since the
// Collector was made. It never waits.
func (c *Collector) Listed() bool { return c.table.listed.Load() }

// Ready returns nil if all runtime roots are served and one of them answers, or an error whose text tells clients why not. It
// never waits.
func (c *Collector) Ready() error {
	switch n := c.table.leftOut.Load(); {
	case !c.Listed():
		return errors.New("the runtime roots have not been listed yet; see the server's log")
	case c.table.hung.Load():
		return errors.New("no runtime root answers: their file systems hang; see the server's log")
	case n > 0:
		return fmt.Errorf("runtime roots not served: %d (the limit is %d per server); run another server for them", n, roots.MaxRoots)
	}
	return nil
}

// Collect waits for the collection under way, then makes a new one. The error is of a runtime root that
// could not be read because the server lacks file descriptors or memory.
func (c *Collector) Collect(plan Plan) (*snapshot.Snapshot, error) {
	c.due.Add(1)
	c.turn.Lock()
	c.due.Add(-1)
	defer c.turn.Unlock()
	began := c.clock.Now()
	c.traffic = c.loop.Traffic()
	if err := c.list(); err != nil {
		return nil, err
	}
	c.query(began, plan)
	c.clearFailuresOfExited()
	c.finishEnded(false, plan.until(began)) // so that the snapshot has the outcomes
	c.mu.Lock()
	defer c.mu.Unlock()
	snap := c.snapshot(began, plan.Sandboxes, false)
	c.logFailures()
	c.logUsage()
	c.logCollection(snap)
	return snap, nil
}

// list lists the roots, and records all ends up to now. The caller holds turn.
func (c *Collector) list() error {
	c.watcher.SyncAll() // so that a sandbox whose file is gone has ended, and not vanished
	c.table.expand()
	err := c.table.read()
	if err == nil {
		c.watcher.SyncAll()
	}
	return err
}

// query measures the sandboxes and sends the queries that are due. Sandboxes that took little time
// in the last collections go first.
func (c *Collector) query(began time.Time, plan Plan) {
	deadline := plan.until(began)
	c.mu.Lock()
	c.queries = exportQueries(c.queries[:0], c.table.sorted, plan.Sandboxes)
	c.mu.Unlock()
	c.measure(deadline)
	now := c.clock.Now()
	alarms := make([]control.Alarm, len(plan.Cuts))
	for i, at := range plan.Cuts {
		alarms[i] = control.Alarm{At: c.loop.In(at.Sub(now)), Do: func() { plan.OnCut(i, c.cut(began, plan.Sandboxes)) }}
	}
	c.loop.Run(c.queries, c.loop.In(deadline.Sub(now)), alarms...)
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
// The error is that of Collect.
//
// If nothing has been listed before, and there are totals of registered counters, Look makes a whole
// collection: counters of sandboxes that are older than the server count from their first values on,
// and some of these sandboxes may end before the first scrape.
func (c *Collector) Look() error {
	if ledger := c.options.Totals; !c.Listed() && ledger != nil && ledger.Registered() {
		_, err := c.Collect(Plan{Deadline: c.clock.Now().Add(MaxDuration)})
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
