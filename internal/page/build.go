package page

import (
	"slices"
	"sync"

	dto "github.com/prometheus/client_model/go"

	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// Options are what all pages of a server have in common.
type Options struct {
	Prefix     string // of the names of reported families; with RunscNaming also of the server's own
	Naming     Naming // no default
	Timestamps bool   // samples carry the time at which they were taken
	Families   families.Options
	Series     *SeriesRules // nil: pages have all series
}

// A Builder builds the pages of one server. It is safe for concurrent use.
type Builder struct {
	options  Options
	families *families.Families

	mu     sync.Mutex // not held while filters run
	layout *layout    // of the last page; usually the next page has the same
}

// NewBuilder returns a Builder of pages.
func NewBuilder(o Options) *Builder { return &Builder{options: o, families: families.New(o.Families)} }

// Prefix returns what the names of reported families begin with.
func (b *Builder) Prefix() string { return b.options.Prefix }

// Build returns a page of a snapshot. The page refers to the snapshot and does not change it. Build
// may wait for filters of other requests that are being compiled or run for the first time. Hidden
// sandboxes are not on the page.
func (b *Builder) Build(snap *snapshot.Snapshot, want Selection) *Page {
	p := &Page{Timestamps: b.options.Timestamps}
	selected := selectedOf(snap, want.Sandboxes)
	schemas := p.addReported(snap, selected)
	samples := b.families.Of(snap)
	l := b.layoutOf(schemas, samples.Totals.Schema)
	p.Families, p.allFamilies = l.selected(want), l.all
	if want.Sandboxes.Shard.Index == 0 {
		server := b.families.Server(snap, p.countLeftOut(l, want.Metrics))
		p.addGroup(groupServer, &server)
		p.addGroup(groupTotals, &samples.Totals)
		names := want.Names.Set()
		p.Process = slices.DeleteFunc(slices.Clone(snap.Process), func(f *dto.MetricFamily) bool {
			return !names.Match(f.GetName()) || !b.options.Series.keeps(f.GetName(), groupServer)
		})
	}
	p.addGroup(groupSandbox, sourcesOf(samples, selected, func(s *families.SandboxSamples) *snapshot.Source { return &s.State })...)
	p.addGroup(groupUsage, sourcesOf(samples, selected, func(s *families.SandboxSamples) *snapshot.Source { return &s.Usage })...)
	p.addGroup(groupCadvisor, cadvisorOf(samples, selected)...)
	p.runFilter(want.Capabilities)
	return p
}

// selectedOf returns the indexes of the sandboxes that are on a page.
func selectedOf(snap *snapshot.Snapshot, want snapshot.Selector) []int {
	matches := want.Matcher()
	selected := make([]int, 0, len(snap.Sandboxes))
	for i := range snap.Sandboxes {
		if s := &snap.Sandboxes[i]; s.Hidden == snapshot.Shown && matches(s.Labels) {
			selected = append(selected, i)
		}
	}
	return selected
}

// sourcesOf returns a source of each selected sandbox.
func sourcesOf(samples *families.Samples, selected []int, of func(*families.SandboxSamples) *snapshot.Source) []*snapshot.Source {
	sources := make([]*snapshot.Source, len(selected))
	for i, at := range selected {
		sources[i] = of(samples.Sandboxes[at])
	}
	return sources
}

// cadvisorOf returns the sources with the names of cAdvisor. Where two sandboxes have equal series, those
// of the first one are on the page.
func cadvisorOf(samples *families.Samples, selected []int) []*snapshot.Source {
	sources := make([]*snapshot.Source, 0, len(selected))
	taken := make(map[string]bool)
	for _, at := range selected {
		s := samples.Sandboxes[at]
		if slices.ContainsFunc(s.CadvisorKeys, func(key string) bool { return taken[key] }) {
			continue
		}
		for _, key := range s.CadvisorKeys {
			taken[key] = true
		}
		sources = append(sources, &s.Cadvisor)
	}
	return sources
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
	p := &Page{Timestamps: b.options.Timestamps}
	schemas := p.addReported(&snapshot.Snapshot{Sandboxes: []snapshot.Sandbox{*s}}, []int{0})
	all := b.layoutOf(schemas, nil).selected(Selection{Metrics: want})
	p.Families = slices.DeleteFunc(slices.Clone(all), func(f Family) bool { return f.group != groupReported })
	return p
}

// layoutOf returns the layout for the schemas of reported sources and of totals.
func (b *Builder) layoutOf(schemas []*schema.Schema, totals *schema.Schema) *layout {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.layout == nil || b.layout.totals != totals || !slices.Equal(b.layout.schemas, schemas) {
		b.layout = newLayout(schemas, totals, naming{b.options.Naming, b.options.Prefix, b.options.Families.Usage}, b.options.Series)
	}
	return b.layout
}

// addReported adds the sources that selected sandboxes reported, and returns the schemas by kind.
func (p *Page) addReported(snap *snapshot.Snapshot, selected []int) []*schema.Schema {
	p.Sources = make([]Source, 0, 3*len(selected)+2)
	var schemas []*schema.Schema
	kind := 0
	for _, at := range selected {
		src := &snap.Sandboxes[at].Reported
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

// addGroup adds the sources of a group that is not reported, without those that have no schema.
func (p *Page) addGroup(group int, sources ...*snapshot.Source) {
	from := len(p.Sources)
	for _, src := range sources {
		if src.Schema != nil {
			p.add(src, 0)
		}
	}
	p.groups[group] = span{from, len(p.Sources)}
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
	some := make([]Family, 0, len(l.families))
	for _, f := range l.families {
		switch {
		case !names.Match(f.Name):
			continue
		case f.group == groupSandbox && f.metricName == families.Capabilities:
			f.sets = want.Capabilities
		case f.group == groupReported && !want.Metrics.Match(f.metricName):
			continue
		}
		some = append(some, f)
	}
	return some
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
