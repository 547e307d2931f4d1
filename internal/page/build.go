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
	layout *layout    // of the last page; nearly always the next one's too
}

// NewBuilder returns a Builder of pages whose families begin with prefix, unless their names are whole.
func NewBuilder(prefix string) *Builder { return &Builder{prefix: prefix} }

// Prefix returns what the names of families begin with.
func (b *Builder) Prefix() string { return b.prefix }

// Build returns the page of a snapshot, which the page refers to and does not change. It may have to wait for filters that other requests have
// compiled or run for the first time.
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

// runFilter runs the filter of capabilities on all that there are, so that all waiting for it is over when the page is rendered.
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

// BuildReported returns the page of what one sandbox reports, without the server's own families. want selects metrics by their names
// without prefix.
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

// addReported adds what sandboxes report, and returns the schemas by kind.
func (p *Page) addReported(sandboxes []snapshot.Sandbox) []*schema.Schema {
	p.Sources = make([]Source, 0, 2*len(sandboxes)+1)
	var schemas []*schema.Schema
	kind := 0
	for i := range sandboxes {
		src := &sandboxes[i].Reported
		if src.Schema == nil {
			continue
		}
		if len(schemas) == 0 || schemas[kind] != src.Schema { // most often it is the one before's
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

// addServer adds what the server says of itself, in the shard that has it, and of the sandboxes.
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

// insert returns the samples with one more, at its place.
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

// selected returns the families that the selection wants.
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

// countLeftOut returns how many series of wanted metrics are not, or not wholly, on the page.
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
