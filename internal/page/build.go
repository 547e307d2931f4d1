package page

import (
	"slices"
	"sync"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// Options are what all pages of a server have in common.
type Options struct {
	Prefix     string // of the names of reported families; with RunscNaming also of the server's own
	Naming     Naming // no default
	Timestamps bool   // samples carry the time at which they were taken
	DropIn     bool   // leave out the number of series left out if it is 0
	Usage      UsageNames
	Series     *SeriesRules // nil: pages have all series
}

// A Builder builds the pages of one server. It is safe for concurrent use.
type Builder struct {
	options Options

	mu     sync.Mutex // not held while filters run
	layout *layout    // of the last page; usually the next page has the same
}

// NewBuilder returns a Builder of pages.
func NewBuilder(o Options) *Builder { return &Builder{options: o} }

// Prefix returns what the names of reported families begin with.
func (b *Builder) Prefix() string { return b.options.Prefix }

// Build returns a page of a snapshot. The page refers to the snapshot and does not change it. Build
// may wait for filters of other requests that are being compiled or run for the first time. Hidden
// sandboxes are not on the page.
func (b *Builder) Build(snap *snapshot.Snapshot, want Selection) *Page {
	p := &Page{Timestamps: b.options.Timestamps, whole: want.Metrics == nil && want.Names == "" && b.options.Series == nil}
	sandboxes := shown(want.Sandboxes.Select(snap.Sandboxes))
	schemas := p.addReported(sandboxes)
	l := b.layoutOf(schemas, snap.Totals.Schema)
	p.Families = l.selected(want)
	if want.hasServer() {
		p.addServer(snap, p.countLeftOut(l, want.Metrics), b.options.DropIn)
		p.Process = b.options.Series.families(want.families(snap.Process))
	}
	p.addServerOf(sandboxes)
	if b.options.Usage.own() {
		p.addUsage(sandboxes)
	}
	if b.options.Usage.cadvisor() {
		p.addCadvisor(sandboxes)
	}
	p.dropLabels(b.options.Series.dropped())
	if want.hasServer() {
		p.addTotals(snap)
	}
	p.runFilter(want.Capabilities)
	return p
}

// runFilter runs the capability filter on all capabilities now, so that rendering the page never
// waits for other filters.
func (p *Page) runFilter(capabilities *Filter) {
	if capabilities == nil {
		return
	}
	walk := p.Walk()
	for i := range p.Families {
		if f := &p.Families[i]; f.sets != nil {
			for range walk.Samples(f) {
			}
		}
	}
}

// BuildReported returns a page of the metrics that one sandbox reported, without other families.
// want selects metrics by their names without prefix.
func (b *Builder) BuildReported(s *snapshot.Sandbox, want *Filter) *Page {
	p := &Page{Timestamps: b.options.Timestamps, whole: want == nil && b.options.Series == nil}
	schemas := p.addReported([]snapshot.Sandbox{*s})
	families := b.layoutOfReported(schemas).selected(Selection{Metrics: want})
	p.Families = slices.DeleteFunc(slices.Clone(families), func(f Family) bool { return f.group != groupReported })
	p.dropLabels(b.options.Series.dropped())
	return p
}

// layoutOf returns the layout for the schemas of reported sources and of totals.
func (b *Builder) layoutOf(schemas []*schema.Schema, totals *schema.Schema) *layout {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.lockedLayoutOf(schemas, totals)
}

// layoutOfReported returns a layout for the schemas of reported sources, with the totals of the last
// page, so that the next page still has its layout.
func (b *Builder) layoutOfReported(schemas []*schema.Schema) *layout {
	b.mu.Lock()
	defer b.mu.Unlock()
	var totals *schema.Schema
	if b.layout != nil {
		totals = b.layout.totals
	}
	return b.lockedLayoutOf(schemas, totals)
}

func (b *Builder) lockedLayoutOf(schemas []*schema.Schema, totals *schema.Schema) *layout {
	if b.layout == nil || b.layout.totals != totals || !slices.Equal(b.layout.schemas, schemas) {
		b.layout = newLayout(schemas, totals, naming{b.options.Naming, b.options.Prefix, b.options.Usage}, b.options.Series)
	}
	return b.layout
}

// addReported adds the sources that sandboxes reported, and returns the schemas by kind.
func (p *Page) addReported(sandboxes []snapshot.Sandbox) []*schema.Schema {
	p.Sources = make([]Source, 0, 3*len(sandboxes)+2)
	var schemas []*schema.Schema
	kind := 0
	for i := range sandboxes {
		src := &sandboxes[i].Reported
		if src.Schema == nil {
			continue
		}
		if len(schemas) == 0 || schemas[kind] != src.Schema { // usually the same as the previous sandbox's
			if kind = slices.Index(schemas, src.Schema); kind < 0 {
				kind = len(schemas)
				schemas = append(schemas, src.Schema)
			}
		}
		p.add(src, kind)
	}
	p.groups[groupReported] = span{0, len(p.Sources)}
	return schemas
}

// addServer adds the source of the server's own families about the server itself.
func (p *Page) addServer(snap *snapshot.Snapshot, leftOut int, dropIn bool) {
	server := snap.Server
	if leftOut > 0 || !dropIn {
		server.Samples = insert(server.Samples, snapshot.Sample{Metric: schema.SeriesLeftOut, Value: int64(leftOut)})
	}
	p.add(&server, 0)
}

// addServerOf adds the sources of the server's own families about the sandboxes. All sources that
// follow those that sandboxes reported are the server's.
func (p *Page) addServerOf(sandboxes []snapshot.Sandbox) {
	for i := range sandboxes {
		p.add(&sandboxes[i].Server, 0)
	}
	p.groups[groupServer] = span{p.groups[groupReported].to, len(p.Sources)}
}

// addUsage adds the sources that the host measured.
func (p *Page) addUsage(sandboxes []snapshot.Sandbox) {
	from := len(p.Sources)
	for i := range sandboxes {
		if usage := &sandboxes[i].Usage; usage.Schema != nil {
			p.add(usage, 0)
		}
	}
	p.groups[groupUsage] = span{from, len(p.Sources)}
}

// addTotals adds the source of the totals, if there are any.
func (p *Page) addTotals(snap *snapshot.Snapshot) {
	if snap.Totals.Schema == nil {
		return
	}
	p.add(&snap.Totals, 0)
	p.groups[groupTotals] = span{len(p.Sources) - 1, len(p.Sources)}
}

// insert returns a copy of the samples with s inserted in order.
func insert(samples []snapshot.Sample, s snapshot.Sample) []snapshot.Sample {
	at := 0
	for at < len(samples) && samples[at].Metric < s.Metric {
		at++
	}
	return slices.Insert(slices.Clone(samples), at, s)
}

func (p *Page) add(src *snapshot.Source, kind int) {
	p.Sources = append(p.Sources, Source{src, len(p.Sources), kind})
	p.textSize += src.TextSize + src.ZeroSize
}

// selected returns the families that match the selection.
func (l *layout) selected(want Selection) []Family {
	if want.Metrics == nil && want.Capabilities == nil && want.Names == "" {
		return l.families
	}
	names := want.Names.Set()
	families := make([]Family, 0, len(l.families))
	for _, f := range l.families {
		switch {
		case !names.Match(f.Name):
			continue
		case f.group == groupServer && f.metric[0] == schema.SandboxCapabilities:
			f.sets = want.Capabilities
		case f.group == groupReported && !want.Metrics.Match(f.metricName):
			continue
		}
		families = append(families, f)
	}
	return families
}

// countLeftOut returns how many series of selected metrics are missing, wholly or in part, from the
// page.
func (p *Page) countLeftOut(l *layout, want *Filter) (series int) {
	if len(l.leftOut) == 0 {
		return 0
	}
	for i := range p.Sources {
		src := &p.Sources[i]
		for _, s := range src.Samples {
			if l.leftOut[column{src.kind, s.Metric}] && want.Match(src.Metric(s).Name) {
				series++
			}
		}
	}
	return series
}
