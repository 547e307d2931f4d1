package page

import (
	"slices"
	"sync"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A Builder builds the pages of one server. It is safe for concurrent use.
type Builder struct {
	prefix string

	mu     sync.Mutex // not held while filters run
	layout *layout    // of the last page; usually the next page has the same
}

// NewBuilder returns a Builder of pages. Family names begin with prefix, except those of schema
// metrics with Whole set.
func NewBuilder(prefix string) *Builder { return &Builder{prefix: prefix} }

// Prefix returns what the names of families begin with.
func (b *Builder) Prefix() string { return b.prefix }

// Build returns a page of a snapshot. The page refers to the snapshot and does not change it. Build
// may wait for filters of other requests that are being compiled or run for the first time.
func (b *Builder) Build(snap *snapshot.Snapshot, want Selection) *Page {
	p := &Page{whole: want.Metrics == nil && want.Names == ""}
	sandboxes := want.sandboxes(snap.Sandboxes)
	schemas := p.addReported(sandboxes)
	l := b.layoutOf(schemas)
	p.Families = l.selected(want)
	p.addServer(snap, sandboxes, want.Shard, p.countLeftOut(l, want.Metrics))
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

// BuildReported returns a page of the metrics that one sandbox reported, without the server's own
// families. want selects metrics by their names without prefix.
func (b *Builder) BuildReported(s *snapshot.Sandbox, want *Filter) *Page {
	p := &Page{whole: want == nil}
	schemas := p.addReported([]snapshot.Sandbox{*s})
	families := b.layoutOf(schemas).selected(Selection{Metrics: want})
	p.Families = slices.DeleteFunc(slices.Clone(families), func(f Family) bool { return f.group == groupServer })
	return p
}

// layoutOf returns the layout for the schemas.
func (b *Builder) layoutOf(schemas []*schema.Schema) *layout {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.layout == nil || !slices.Equal(b.layout.schemas, schemas) {
		b.layout = newLayout(schemas, b.prefix)
	}
	return b.layout
}

// addReported adds the sources that sandboxes reported, and returns the schemas by kind.
func (p *Page) addReported(sandboxes []snapshot.Sandbox) []*schema.Schema {
	p.Sources = make([]Source, 0, 2*len(sandboxes)+1)
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
	p.reportedSize = p.textSize
	return schemas
}

// addServer adds the sources of the server's own families: those about the server itself if the
// shard has them, and those about the sandboxes.
func (p *Page) addServer(snap *snapshot.Snapshot, sandboxes []snapshot.Sandbox, shard Shard, leftOut int) {
	from := len(p.Sources)
	if shard.hasServer() {
		server := snap.Server
		if leftOut > 0 {
			server.Samples = insert(server.Samples, snapshot.Sample{Metric: schema.SeriesLeftOut, Value: int64(leftOut)})
		}
		p.add(&server, 0)
	}
	for i := range sandboxes {
		p.add(&sandboxes[i].Server, 0)
	}
	p.groups[groupServer] = span{from, len(p.Sources)}
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
	p.textSize += src.TextSize
}

// selected returns the families that match the selection.
func (l *layout) selected(want Selection) []Family {
	if want.Metrics == nil && want.Capabilities == nil && want.Names == "" {
		return l.families
	}
	names := want.Names.set()
	families := make([]Family, 0, len(l.families))
	for _, f := range l.families {
		switch {
		case !names.match(f.Name):
			continue
		case f.group == groupServer && f.metric[0] == schema.SandboxCapabilities:
			f.sets = want.Capabilities
		case f.group == groupReported && !want.Metrics.Match(l.nameOf(&f)):
			continue
		}
		families = append(families, f)
	}
	return families
}

// nameOf returns the registered name of the family's metric.
func (l *layout) nameOf(f *Family) string {
	kind := slices.IndexFunc(f.metric, func(m int32) bool { return m >= 0 })
	return l.schemas[kind].Metrics[f.metric[kind]].Name
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
