package collect

import (
	"cmp"
	"errors"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// snapshot returns a snapshot of the current state. A cut is made in the middle of a collection:
// sandboxes that have not replied yet have failed in the cut only, and may still succeed in the
// final snapshot.
func (c *Collector) snapshot(began time.Time, selected snapshot.Union, cut bool) *snapshot.Snapshot {
	now := time.Now()
	c.table.expire(c.table.now())
	failures := c.failures(cut)
	c.applyPageBudget(failures)
	snap := &snapshot.Snapshot{
		Began:     began,
		Time:      now,
		Selected:  selected,
		Sandboxes: make([]snapshot.Sandbox, 0, len(c.table.sorted)),
	}
	for _, inv := range c.table.inventories {
		snap.Roots = append(snap.Roots, inv.view())
	}
	members := make([]*sandbox, 0, len(c.table.sorted))
	for i, s := range c.table.sorted {
		if s.shown() {
			snap.Sandboxes = append(snap.Sandboxes, c.sandboxOf(s, failures[i], now.UnixMilli()))
			members = append(members, s)
		}
		if !cut {
			s.failure = failures[i]
		}
	}
	c.limitSeries(snap.Sandboxes, members)
	if c.options.Totals != nil {
		for i, s := range members {
			s.count(&snap.Sandboxes[i])
		}
		snap.Totals = c.options.Totals.Source(now)
	}
	snap.Server = c.serverOf(snap)
	if c.options.Process != nil {
		snap.Process = c.options.Process()
	}
	snap.Sandboxes = selected.Select(snap.Sandboxes) // only now: the server's own families are about all
	return snap
}

var errCut = errors.New("the reply was not complete at the deadline of the scrape")

// failures returns why sandboxes have no metrics, by index in the table: nil for sandboxes that
// have metrics and for those that have ended. Sandboxes that the collection does not query have the
// failure of the last one that did, except that the page budget is divided anew among all, so that
// a sandbox has the same share of it whatever is selected.
func (c *Collector) failures(cut bool) []*failure.Failure {
	failures := make([]*failure.Failure, len(c.table.sorted))
	for i, s := range c.table.sorted {
		switch {
		case !s.running(), s.unregistered():
		case !s.selected && s.reason() == failure.PageBudget:
		case cut && s.pending, s.selected && s.failure == nil && !s.sampled():
			failures[i] = failure.New(failure.OutOfTime, errCut)
		default:
			failures[i] = s.failure
		}
	}
	return failures
}

// The budget of a page without filters, in bytes of text, is pageBase plus pagePerSandbox for each
// served sandbox.
const (
	pageBase       = 8 << 20
	pagePerSandbox = 64 << 10
)

// applyPageBudget fails the largest sandboxes if all metrics together exceed the page budget. It
// counts the page without filters, so the result does not depend on filters and formats.
func (c *Collector) applyPageBudget(failures []*failure.Failure) {
	table := c.table.sorted
	left := c.pageBase + pagePerSandbox*len(table)
	for i, s := range table {
		if s.hasMetrics(failures[i]) {
			left -= s.textSize
		}
	}
	if left >= 0 {
		return
	}
	var bySize []int
	for i, s := range table {
		if s.hasMetrics(failures[i]) {
			bySize = append(bySize, i)
		}
	}
	slices.SortStableFunc(bySize, func(a, b int) int { return cmp.Compare(table[b].textSize, table[a].textSize) })
	for _, i := range bySize {
		if left >= 0 {
			break
		}
		size := table[i].textSize
		failures[i] = failure.Newf(failure.PageBudget, "the metrics of all sandboxes exceed the page budget, and those of this sandbox (%d bytes) are among the largest", size)
		left += size
	}
}

// sandboxOf returns a sandbox as it appears in a snapshot. now is the time of the server's own
// samples.
func (c *Collector) sandboxOf(s *sandbox, failed *failure.Failure, now int64) snapshot.Sandbox {
	view := c.viewOf(s, nil)
	view.Failure = failed
	switch {
	case view.Hidden != snapshot.Shown:
		return view
	case !view.Running && s.presence != created:
		view = c.viewOf(s, c.freeze(s))
		if failed != nil { // beyond the page budget
			view.Reported = snapshot.Source{}
		}
	case view.Running && failed == nil:
		view.Replied = s.baseline.When
		view.Reported = s.reported()
	}
	if view.Running && s.selected && c.meter != nil {
		view.Usage = c.usageOf(s)
	}
	c.addServer(&view, s, now)
	return view
}

// viewOf returns a sandbox with its last values, if it has ended, and without the server's own
// families.
func (c *Collector) viewOf(s *sandbox, last *frozen) snapshot.Sandbox {
	cpu, wall := s.saved()
	view := snapshot.Sandbox{
		Identity:     s.identity,
		Running:      s.running(),
		Checkpointed: s.facts.Checkpointed,
		Restored:     s.facts.Restored,
		CPUSaved:     cpu,
		WallSaved:    wall,
		End:          s.end,
	}
	if s.unregistered() {
		view.Hidden = snapshot.HidUnregistered
	}
	if last != nil {
		view.Replied, view.Reported, view.Usage = last.replied, last.reported, last.usage
	}
	return view
}

// addServer adds the server's own families about a sandbox.
func (c *Collector) addServer(view *snapshot.Sandbox, s *sandbox, now int64) {
	failed := view.Failure
	view.Server = snapshot.Source{Labels: s.identity.Labels, Schema: schema.Server, Time: now, Sets: s.described}
	if failed != nil {
		view.Server.Sets = c.table.reasonSets(failed.Reason)
	}
	c.samples = appendSandbox(c.samples[:0], view, s.capabilities)
	if !c.options.DropIn && view.Running {
		c.samples = appendQuery(c.samples, s.took, failed == nil)
	}
	if !c.options.DropIn && !view.Running && view.End != nil {
		c.samples = appendEnd(c.samples, view.End, len(view.Server.Sets))
		view.Server.Sets = append(slices.Clip(view.Server.Sets), c.table.outcomes.of(view.End))
	}
	snapshot.SortSamples(c.samples)
	if !slices.Equal(c.samples, s.server.Samples) {
		view.Server.Samples = c.keep(c.samples)
		view.Server.Measure(&s.server)
		s.server = view.Server
	}
	view.Server.Samples, view.Server.TextSize = s.server.Samples, s.server.TextSize
}

// limitSeries hides sandboxes if there are too many, so that the others keep their series however
// many come and go: first those that have ended, then the youngest. members are the sandboxes of the
// snapshot.
func (c *Collector) limitSeries(sandboxes []snapshot.Sandbox, members []*sandbox) {
	limit := c.options.MaxWithSeries
	if limit <= 0 || len(members) <= limit {
		return
	}
	var order []int
	for i := range sandboxes {
		if sandboxes[i].Hidden == snapshot.Shown {
			order = append(order, i)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(number(sandboxes[b].Running), number(sandboxes[a].Running)), members[a].compareAge(members[b]))
	})
	for _, i := range order[min(limit, len(order)):] {
		sandboxes[i].Hidden = snapshot.HidBySeriesLimit
	}
}

// compareAge compares when sandboxes were first seen. Of those that are older than the server, the
// state files tell.
func (s *sandbox) compareAge(other *sandbox) int {
	if s.older && other.older {
		return s.facts.CreatedAt.Compare(other.facts.CreatedAt)
	}
	return cmp.Compare(s.seen, other.seen)
}

// count counts what the sandbox has done since the last snapshot.
func (s *sandbox) count(view *snapshot.Sandbox) {
	if s.totals != nil && s.end == nil {
		s.totals.Observe(view)
	}
}

// hasMetrics reports whether the sandbox is in the snapshot with metrics that it reported, unless
// they have failed.
func (s *sandbox) hasMetrics(failed *failure.Failure) bool {
	return failed == nil && s.shown() && !s.unregistered() && s.sampled()
}

// keptSandboxes is for how many sandboxes keep allocates at a time. A sandbox has 16 samples.
const keptSandboxes = 64

// keep returns a copy of samples, which a snapshot may hold. Query durations change with each
// collection, so every sandbox needs one: many share an allocation.
func (c *Collector) keep(samples []snapshot.Sample) []snapshot.Sample {
	if cap(c.kept)-len(c.kept) < len(samples) {
		c.kept = make([]snapshot.Sample, 0, keptSandboxes*len(samples))
	}
	from := len(c.kept)
	c.kept = append(c.kept, samples...)
	return c.kept[from:len(c.kept):len(c.kept)]
}

// reported returns the last verified reply as a source.
func (s *sandbox) reported() snapshot.Source {
	return snapshot.Source{
		Labels:     s.identity.Labels,
		Schema:     s.compiled.schema,
		Time:       s.baseline.When.UnixMilli(),
		Start:      nanoseconds(s.identity.CreatedAt),
		Samples:    s.baseline.Samples,
		Histograms: s.baseline.Histograms,
		TextSize:   s.textSize,
		ZeroSize:   s.zeroSize,
	}
}

// appendSandbox appends the samples of the server's own families about a sandbox. Capabilities,
// creation time, metadata and spec are present only together with the sandbox's metrics. Its label
// sets are in the order of describe.
func appendSandbox(samples []snapshot.Sample, s *snapshot.Sandbox, capabilities int) []snapshot.Sample {
	add := func(metric int, series int, value int64) {
		samples = append(samples, snapshot.Sample{Metric: int32(metric), Series: uint32(series), Value: value})
	}
	described := s.HasMetrics()
	if described {
		for i := range capabilities {
			add(schema.SandboxCapabilities, i, 1)
		}
	}
	add(schema.SandboxCheckpointed, 0, number(s.Checkpointed))
	add(schema.SandboxCPUSaved, 0, s.CPUSaved.Milliseconds())
	if described {
		add(schema.SandboxCreation, 0, seconds(s.CreatedAt))
	}
	if s.Failure != nil {
		add(schema.SandboxFailure, 0, 1)
	}
	if described {
		add(schema.SandboxMetadata, capabilities, 1)
	}
	add(schema.SandboxPresence, 0, 1)
	add(schema.SandboxRestored, 0, number(s.Restored))
	add(schema.SandboxRunning, 0, number(s.Running))
	add(schema.SandboxWallSaved, 0, s.WallSaved.Milliseconds())
	if described {
		add(schema.SpecMetadata, capabilities+1, 1)
	}
	return samples
}

// reasonSets returns the label set of a failure.
func (t *table) reasonSets(r failure.Reason) []*snapshot.LabelSet {
	if t.reasons[r] == nil {
		t.reasons[r] = []*snapshot.LabelSet{snapshot.NewLabelSet(snapshot.Label{Name: "reason", Value: string(r)})}
	}
	return t.reasons[r]
}

// maxCapabilities limits the cache of label sets. Linux has 41 capabilities; a spec may have any
// other names, which are not worth the memory.
const maxCapabilities = 256

// capabilitySet returns the label set of a capability. It is cached, since most sandboxes of a node
// have the same capabilities.
func (t *table) capabilitySet(name string) *snapshot.LabelSet {
	set := t.capabilities[name]
	if set == nil {
		set = snapshot.NewLabelSet(snapshot.Label{Name: "capability", Value: name})
		if len(t.capabilities) < maxCapabilities {
			t.capabilities[name] = set
		}
	}
	return set
}

// appendQuery appends the samples about the query of a running sandbox.
func appendQuery(samples []snapshot.Sample, took time.Duration, up bool) []snapshot.Sample {
	if took > 0 {
		samples = append(samples, snapshot.Sample{Metric: schema.SandboxQueryDuration, Value: snapshot.FloatValue(took.Seconds())})
	}
	return append(samples, snapshot.Sample{Metric: schema.SandboxUp, Value: number(up)})
}

// describe returns the label sets of the families that describe a sandbox: one for each capability,
// then metadata, then spec.
func (t *table) describe(s *sandbox) (sets []*snapshot.LabelSet, capabilities int) {
	spec := unite(s.facts)
	for _, name := range spec.Capabilities {
		sets = append(sets, t.capabilitySet(name))
	}
	var metadata []snapshot.Label
	for _, p := range s.facts.Metadata {
		if snapshot.FreeLabelName(p.Name) {
			metadata = append(metadata, snapshot.Label(p))
		}
	}
	return append(sets, snapshot.NewLabelSet(metadata...), snapshot.NewLabelSet(
		snapshot.Label{Name: "hasuid0", Value: strconv.FormatBool(spec.RunsAsUID0)},
		snapshot.Label{Name: "nvproxy", Value: strconv.FormatBool(spec.NVProxy)},
		snapshot.Label{Name: "ociversion", Value: spec.OCIVersion},
		snapshot.Label{Name: "tpuproxy", Value: strconv.FormatBool(spec.TPUProxy)},
	)), len(spec.Capabilities)
}

// seconds returns a time in seconds since the Unix epoch, as the bits of a float64, which is
// precise to a quarter of a microsecond.
func seconds(t time.Time) int64 {
	return snapshot.FloatValue(float64(t.Unix()) + float64(t.Nanosecond())/1e9)
}

// nanoseconds returns a time in nanoseconds since the Unix epoch, and 0 for the zero time and one that has no such number.
func nanoseconds(t time.Time) int64 {
	const last = math.MaxInt64 / int64(time.Second) // seconds
	if s := t.Unix(); s < 0 || s >= last {
		return 0
	}
	return t.UnixNano()
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
