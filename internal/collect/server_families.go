package collect

import (
	"errors"
	"io/fs"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// serverOf returns the server's own families about the server itself. With DropIn, families that
// gVisor's metric server does not have are left out unless they report a problem.
func (c *Collector) serverOf(snap *snapshot.Snapshot) snapshot.Source {
	f := serverFamilies{Source: snapshot.Source{
		Labels: &noLabels,
		Schema: schema.Server,
		Time:   snap.Time.UnixMilli(),
		Start:  nanoseconds(c.options.StartTime),
	}, quiet: c.options.DropIn}
	f.addSandboxes(snap, c.table.total)
	f.addRoots(snap.Roots, c.table.roots.single())
	if n := c.table.leftOut; n > 0 || !f.quiet {
		f.add(schema.RootsLeftOut, int64(n))
	}
	f.addCounters(&c.options.Counters)
	if n := c.counts.unregistered; n > 0 || !f.quiet {
		f.add(schema.Unregistrations, n)
	}
	if c.options.FinalLog != "" {
		f.add(schema.FinalLogsRefused, c.counts.refusedLogs)
	}
	if c.options.Process == nil {
		f.add(schema.ProcessStart, seconds(c.options.StartTime))
	}
	if c.options.ShowTime {
		f.add(schema.SnapshotTime, seconds(snap.Began))
	}
	if !c.options.DropIn {
		f.addCollection(snap, c.loop.Traffic().Since(c.traffic))
		f.addSet(schema.BuildInfo, 1, snapshot.NewLabelSet(c.options.BuildInfo...))
	}
	snapshot.SortSamples(f.Samples)
	f.TextSize = f.MeasureText()
	return f.Source
}

// serverFamilies is a source that is being filled, in any order.
type serverFamilies struct {
	snapshot.Source
	quiet bool // families that report problems are absent while they are 0
}

func (f *serverFamilies) add(metric int, value int64) {
	f.Samples = append(f.Samples, snapshot.Sample{Metric: int32(metric), Value: value})
}

// addSet adds a sample of an open metric.
func (f *serverFamilies) addSet(metric int, value int64, set *snapshot.LabelSet) {
	f.Samples = append(f.Samples, snapshot.Sample{Metric: int32(metric), Series: uint32(len(f.Sets)), Value: value})
	f.Sets = append(f.Sets, set)
}

// addSandboxes adds the families that count sandboxes.
func (f *serverFamilies) addSandboxes(snap *snapshot.Snapshot, total int) {
	var running, ignored, checkpointed, restored, broken, unreadable int64
	failed := make(map[failure.Reason]int64)
	hidden := make(map[snapshot.Hiding]int64)
	for i := range snap.Sandboxes {
		s := &snap.Sandboxes[i]
		running += number(s.Running)
		if s.Running && s.Hidden == snapshot.HidUnregistered {
			ignored++
		}
		checkpointed += number(s.Checkpointed)
		restored += number(s.Restored)
		hidden[s.Hidden]++
		if s.Failure != nil {
			failed[s.Failure.Reason]++
			broken++
		}
	}
	for i := range snap.Roots {
		unreadable += int64(len(snap.Roots[i].Unreadable))
	}
	f.add(schema.ServerPresence, 1)
	f.add(schema.SandboxesBroken, broken)
	f.add(schema.SandboxesCheckpointed, checkpointed)
	f.add(schema.SandboxesRestored, restored)
	f.add(schema.SandboxesRunning, running)
	f.add(schema.SandboxesTotal, int64(total))
	if unreadable > 0 || !f.quiet {
		f.add(schema.StateFilesUnreadable, unreadable)
	}
	for _, b := range budgets {
		if n := failed[b.reason]; n > 0 || !f.quiet {
			f.addSet(schema.OverBudget, n, b.set)
		}
	}
	if f.quiet {
		return
	}
	f.addSet(schema.Sandboxes, running-broken-ignored, statusOK)
	f.addSet(schema.Sandboxes, broken, statusFailed)
	f.addSet(schema.Sandboxes, int64(len(snap.Sandboxes))-running, statusNotRunning)
	for i, reason := range failure.Reasons {
		f.addSet(schema.SandboxesFailed, failed[reason], reasons[i])
	}
	f.addSet(schema.SandboxesWithoutSeries, hidden[snapshot.HidBySeriesLimit], hidBySeriesLimit)
	f.addSet(schema.SandboxesWithoutSeries, hidden[snapshot.HidUnregistered], hidUnregistered)
}

// addRoots adds the samples that tell which runtime roots could be read, and which are missing. A root
// that is missing may be fine: runsc creates it with the first sandbox.
func (f *serverFamilies) addRoots(roots []snapshot.Root, single bool) {
	for _, root := range roots {
		if f.quiet && root.Err == nil {
			continue
		}
		var labels []snapshot.Label
		if !single {
			labels = append(labels, snapshot.Label{Name: "runtime_root", Value: root.Path})
		}
		set := snapshot.NewLabelSet(labels...)
		f.addSet(schema.RootMissing, number(errors.Is(root.Err, fs.ErrNotExist)), set)
		f.addSet(schema.RootReadable, number(root.Err == nil), set)
	}
}

// addCounters adds what the server counts outside of collections.
func (f *serverFamilies) addCounters(c *Counters) {
	add := func(metric int, count func() int64) {
		if count == nil {
			return
		}
		if n := count(); n > 0 || !f.quiet {
			f.add(metric, n)
		}
	}
	add(schema.InotifyOverflows, c.InotifyOverflows)
	add(schema.FinalRecordsDropped, c.FinalRecordsDropped)
	add(schema.FinalRecordsWritten, c.FinalRecordsWritten)
	add(schema.LogLinesDropped, c.LogLinesDropped)
	add(schema.ResponsesCutOff, c.ResponsesCutOff)
	add(schema.ConnectionsClosed, c.ConnectionsClosed)
}

// addCollection adds the families about the collection of the snapshot. A cut has what it took so
// far.
func (f *serverFamilies) addCollection(snap *snapshot.Snapshot, traffic control.Traffic) {
	f.add(schema.CollectionDuration, snapshot.FloatValue(snap.Time.Sub(snap.Began).Seconds()))
	f.add(schema.CollectionQueries, traffic.Queries)
	f.add(schema.CollectionReceived, traffic.Bytes)
}

// Labels that all snapshots share.
var (
	noLabels snapshot.Labels

	statusOK         = oneLabel("query_status", "ok")
	statusFailed     = oneLabel("query_status", "failed")
	statusNotRunning = oneLabel("query_status", "not_running")

	hidBySeriesLimit = oneLabel("reason", string(snapshot.HidBySeriesLimit))
	hidUnregistered  = oneLabel("reason", string(snapshot.HidUnregistered))

	reasons = func() (sets []*snapshot.LabelSet) { // in the order of failure.Reasons
		for _, reason := range failure.Reasons {
			sets = append(sets, oneLabel("reason", string(reason)))
		}
		return sets
	}()
)

// budgets are the budgets that all sandboxes share.
var budgets = [...]struct {
	reason failure.Reason
	set    *snapshot.LabelSet
}{
	{failure.PageBudget, oneLabel("budget", "page")},
	{failure.ReplyBudget, oneLabel("budget", "replies")},
}

func oneLabel(name, value string) *snapshot.LabelSet {
	return snapshot.NewLabelSet(snapshot.Label{Name: name, Value: value})
}
