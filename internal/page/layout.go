package page

import (
	"slices"
	"strings"

	"github.com/sandmeter/sandmeter/internal/families"
	"github.com/sandmeter/sandmeter/internal/schema"
)

// A layout has the families of all pages whose sources have the same schemas. It is immutable.
type layout struct {
	schemas  []*schema.Schema // of reported sources, by kind
	totals   *schema.Schema   // of totals; nil: there are none
	families []Family         // sorted by name
	all      int              // number of families, with those that rules exclude
	leftOut  map[column]bool  // metrics that are missing, wholly or in part, from the page
}

// column is a metric of a kind of sources.
type column struct {
	kind   int
	metric int32
}

// builder makes a layout.
type builder struct {
	*layout
	naming
	rules *SeriesRules
	taken map[string]int // names of families and their samples; index in families, or -1 for reserved names
}

// newLayout merges the families of the schemas, the server's own, those of totals, which may be nil,
// and those of the host's measurements. All of these win over registered ones, and metrics that keep
// their names over those that get others. Schemas are in the order of the first sandbox of each, and
// the first one wins where they disagree: it sets the HELP of the family, and metrics with another
// type are left out. Families that the rules exclude have no name that another could not have.
func newLayout(schemas []*schema.Schema, totals *schema.Schema, n naming, rules *SeriesRules) *layout {
	b := &builder{&layout{schemas: slices.Clone(schemas), totals: totals, leftOut: make(map[column]bool)}, n, rules, make(map[string]int)}
	b.addBuiltin(families.Server, groupServer)
	b.addBuiltin(families.Sandbox, groupSandbox)
	if totals != nil {
		b.addBuiltin(totals, groupTotals)
	}
	if n.usage.Own() {
		b.addBuiltin(families.Usage, groupUsage)
	}
	if n.usage.Cadvisor() {
		b.addBuiltin(families.Cadvisor, groupCadvisor)
	}
	b.addReported(func(renamed bool) bool { return !renamed })
	b.addReported(func(renamed bool) bool { return renamed })
	slices.SortFunc(b.families, func(a, b Family) int { return strings.Compare(a.Name, b.Name) })
	b.all += len(b.families)
	return b.layout
}

// addBuiltin adds the families of a schema that is not registered.
func (b *builder) addBuiltin(s *schema.Schema, group int) {
	for i := range s.Metrics {
		m := &s.Metrics[i]
		t := b.own(m)
		if !b.rules.keeps(t.name, group) {
			b.all++
			continue
		}
		b.taken[t.name] = -1
		if m.Type == schema.Histogram {
			b.reserve(t.name)
		}
		b.families = append(b.families, Family{Name: t.name, Help: t.help, Type: m.Type, PerSecond: t.perSecond,
			metricName: m.Name, group: group, metric: []int32{int32(i)}})
	}
}

// addReported adds the registered metrics that are wanted, by whether their names change.
func (b *builder) addReported(wanted func(renamed bool) bool) {
	for kind, s := range b.schemas {
		for i := range s.Metrics {
			m := &s.Metrics[i]
			if t := b.reported(m); wanted(t.name != b.prefix+m.Name) {
				b.add(kind, int32(i), m, t)
			}
		}
	}
}

// histogramSamples are the suffixes of the names of a histogram's samples.
var histogramSamples = []string{"_bucket", "_count", "_sum"}

func (b *builder) add(kind int, index int32, m *schema.Metric, t title) {
	parts := b.partsOf(m, t)
	if m.Type == schema.Histogram && slices.Contains(parts, Whole) {
		for _, suffix := range histogramSamples {
			if at, taken := b.taken[t.name+suffix]; taken && at >= 0 {
				b.leftOut[column{kind, index}] = true // another family already has one of its names
				return
			}
		}
		b.reserve(t.name)
	}
	for _, part := range parts {
		b.addPart(kind, index, m, part, t)
	}
}

// partsOf returns the parts of a metric that the rules keep.
func (b *builder) partsOf(m *schema.Metric, t title) []Part {
	parts := []Part{Whole}
	if m.Type == schema.Histogram {
		parts = append(parts, Min, Max, SSD)
	}
	kept := slices.DeleteFunc(parts, func(p Part) bool { return !b.rules.keeps(t.name+p.suffix(), groupReported) })
	b.all += len(parts) - len(kept)
	return kept
}

// reserve keeps the names of a histogram's samples from other families.
func (b *builder) reserve(histogram string) {
	for _, suffix := range histogramSamples {
		b.taken[histogram+suffix] = -1
	}
}

func (b *builder) addPart(kind int, index int32, m *schema.Metric, part Part, t title) {
	f := Family{Name: t.name + part.suffix(), Help: t.help, Type: m.Type, Part: part, PerSecond: t.perSecond, metricName: m.Name, group: groupReported}
	if part != Whole {
		f.Type = schema.Gauge
	}
	at, taken := b.taken[f.Name]
	if !taken {
		at = len(b.families)
		b.taken[f.Name] = at
		f.metric = slices.Repeat([]int32{-1}, len(b.schemas))
		b.families = append(b.families, f)
	}
	if at >= 0 && b.families[at].isLike(&f) {
		b.families[at].metric[kind] = index
	} else {
		b.leftOut[column{kind, index}] = true
	}
}

// isLike reports whether samples of the same-named family g may be in f.
func (f *Family) isLike(g *Family) bool {
	return f.metricName == g.metricName && f.Type == g.Type && f.Part == g.Part
}
