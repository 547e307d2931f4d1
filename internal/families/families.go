package families

import (
	"math"
	"sync"
	"time"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// Options configure Families.
type Options struct {
	// DropIn leaves out families that gVisor's metric server does not have, unless they report a
	// problem.
	DropIn    bool
	Usage     UsageNames
	StartTime time.Time // of the server process
	ShowTime  bool      // add a family with the time of the snapshot, because snapshots may be served again
	// BuildInfo are the labels of the family that describes the program.
	BuildInfo []snapshot.Label
}

// UsageNames selects the names of the families about the resources that sandboxes use.
type UsageNames uint8

// The names.
const (
	OwnNames UsageNames = iota
	CadvisorNames
	BothNames
)

// Own reports whether pages have the families with Sandmeter's own names.
func (n UsageNames) Own() bool { return n != CadvisorNames }

// Cadvisor reports whether pages have the families with the names of cAdvisor.
func (n UsageNames) Cadvisor() bool { return n != OwnNames }

// The schemas of the families. Those about totals depend on the totals; see Totals.
var (
	Server   = serverTable.Schema
	Sandbox  = sandboxTable.Schema
	Usage    = usageTable.Schema
	Cadvisor = cadvisorTable.Schema
)

// Families make the samples of snapshots. They are safe for concurrent use.
type Families struct {
	options   Options
	buildInfo *snapshot.LabelSet
	adders    sync.Pool // of *adder

	mu     sync.Mutex
	totals totalsTable
	server snapshot.Source // the last one
}

// New returns Families.
func New(o Options) *Families {
	return &Families{options: o, buildInfo: snapshot.NewLabelSet(o.BuildInfo...)}
}

// Samples are the samples of a snapshot.
type Samples struct {
	Sandboxes []*SandboxSamples // by index in the snapshot; nil: the sandbox is hidden
	Totals    snapshot.Source   // without a schema if there are none

	by   *Families
	once sync.Once
}

// SandboxSamples are the samples of a sandbox. They are immutable.
type SandboxSamples struct {
	State    snapshot.Source
	Usage    snapshot.Source // without a schema if nothing was measured
	Cadvisor snapshot.Source // the usage with the names of cAdvisor
	// CadvisorKeys identify the rows of Cadvisor. Two sandboxes with a key in common have equal series,
	// because cAdvisor's labels lack the sandbox and the runtime root.
	CadvisorKeys []string

	labels *lifeLabels
}

// Of returns the samples of a snapshot, without those about the server. They are made once per
// snapshot, from those of an earlier snapshot as far as facts are the same.
func (f *Families) Of(snap *snapshot.Snapshot) *Samples {
	samples := &Samples{by: f}
	if snap.Derived != nil {
		if kept := schema.Remember(snap.Derived, func() *Samples { return samples }); kept.by == f {
			samples = kept
		}
	}
	samples.once.Do(func() { f.convert(samples, snap) })
	return samples
}

func (f *Families) convert(to *Samples, snap *snapshot.Snapshot) {
	state, usage := f.adder(), f.adder() // each with memory for its number of samples
	defer f.adders.Put(state)
	defer f.adders.Put(usage)
	to.Sandboxes = make([]*SandboxSamples, len(snap.Sandboxes))
	made := make([]SandboxSamples, len(snap.Sandboxes))
	for i := range snap.Sandboxes {
		s := &snap.Sandboxes[i]
		if s.Hidden != snapshot.Shown {
			continue
		}
		before := new(SandboxSamples)
		if s.Derived != nil {
			if last, ok := s.Derived.Load().(*SandboxSamples); ok {
				before = last
			}
		}
		to.Sandboxes[i] = &made[i]
		f.convertSandbox(to.Sandboxes[i], before, s, snap.Time, state, usage)
		if s.Derived != nil {
			s.Derived.Store(to.Sandboxes[i])
		}
	}
	if snap.Totals != nil {
		to.Totals = f.totalsOf(snap.Totals, snap.Time)
	}
}

func (f *Families) convertSandbox(to, before *SandboxSamples, s *snapshot.Sandbox, now time.Time, state, usage *adder) {
	labels := before.labels
	if labels == nil {
		labels = new(lifeLabels)
	}
	state.exact, usage.exact = s.Phase == snapshot.Ended, s.Phase == snapshot.Ended
	to.labels = labels.update(s, f.options.Usage.Cadvisor())
	facts := sandbox{s, to.labels}
	to.State = snapshot.Source{Labels: s.Labels, Time: now.UnixMilli()}
	sandboxTable.convert(state, facts, &to.State, &before.State)
	if s.Usage == nil {
		return
	}
	source := snapshot.Source{Labels: s.Labels, Time: s.Usage.Time.UnixMilli(), Start: nanoseconds(s.CreatedAt)}
	if f.options.Usage.Own() {
		to.Usage = source
		usage.countersOnly = s.Phase == snapshot.Ended
		usageTable.convert(usage, facts, &to.Usage, &before.Usage)
	}
	if f.options.Usage.Cadvisor() {
		to.Cadvisor, usage.countersOnly = source, false
		to.Cadvisor.Labels = noLabels
		to.CadvisorKeys = to.labels.cadvisor.keys
		cadvisorTable.convert(usage, cadvisor{s, to.labels.cadvisor}, &to.Cadvisor, &before.Cadvisor)
	}
}

// adder returns an adder for one goroutine.
func (f *Families) adder() *adder {
	if a, ok := f.adders.Get().(*adder); ok {
		a.countersOnly, a.exact = false, false
		return a
	}
	return &adder{dropIn: f.options.DropIn}
}

// Server returns the samples about the server itself. seriesLeftOut is the number of series that are
// missing from the page because of conflicting types.
func (f *Families) Server(snap *snapshot.Snapshot, seriesLeftOut int) snapshot.Source {
	f.mu.Lock()
	defer f.mu.Unlock()
	source := snapshot.Source{Labels: noLabels, Time: snap.Time.UnixMilli(), Start: nanoseconds(f.options.StartTime)}
	a := f.adder()
	a.exact = true
	defer f.adders.Put(a)
	serverTable.convert(a, server{snap, &f.options, f.buildInfo, rootSets(snap), seriesLeftOut}, &source, &f.server)
	f.server = source
	return source
}

// rootSets returns the label sets of runtime roots, by index in the snapshot.
func rootSets(snap *snapshot.Snapshot) []*snapshot.LabelSet {
	sets := make([]*snapshot.LabelSet, len(snap.Roots))
	for i := range snap.Roots {
		sets[i] = noSet
		if !snap.Server.SingleRoot {
			sets[i] = labeled("runtime_root", snap.Roots[i].Path)
		}
	}
	return sets
}

// nanoseconds returns a time in nanoseconds since the Unix epoch, and 0 for the zero time and one that
// has no such number.
func nanoseconds(t time.Time) int64 {
	const last = math.MaxInt64 / int64(time.Second) // seconds
	if s := t.Unix(); s < 0 || s >= last {
		return 0
	}
	return t.UnixNano()
}
