package page

import (
	"slices"
	"strings"

	"github.com/sandmeter/sandmeter/internal/schema"
)

// A layout has the families of all pages whose sources have the same schemas. It is immutable.
type layout struct {
	schemas  []*schema.Schema // of reported sources, by kind
	families []Family         // sorted by name
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
	prefix string
	taken  map[string]int // names of families and their samples; index in families, or -1 for reserved names
}

// newLayout merges the families of the schemas and the server's own families. Schemas are in the
// order of the first sandbox of each, and the first one wins where they disagree: it sets the HELP
// of the family, and metrics with another type are left out. The server's own families win over
// registered ones.
func newLayout(schemas []*schema.Schema, prefix string) *layout {
	b := &builder{&layout{schemas: slices.Clone(schemas), leftOut: make(map[column]bool)}, prefix, make(map[string]int)}
	b.addServer()
	for kind, s := range schemas {
		for i := range s.Metrics {
			b.add(kind, int32(i), &s.Metrics[i])
		}
	}
	slices.SortFunc(b.families, func(a, b Family) int { return strings.Compare(a.Name, b.Name) })
	return b.layout
}

func (b *builder) addServer() {
	for i := range schema.Server.Metrics {
		m := &schema.Server.Metrics[i]
		name := m.Name
		if !m.Whole {
			name = b.prefix + name
		}
		b.taken[name] = -1
		b.families = append(b.families, Family{Name: name, Help: m.Help, Type: m.Type, group: groupServer, metric: []int32{int32(i)}})
	}
}

// histogramSamples are the suffixes of the names of a histogram's samples.
var histogramSamples = []string{"_bucket", "_count", "_sum"}

func (b *builder) add(kind int, index int32, m *schema.Metric) {
	name := b.prefix + m.Name
	parts := []Part{Whole}
	if m.Type == schema.Histogram {
		parts = append(parts, Min, Max, SSD)
		for _, suffix := range histogramSamples {
			if at, taken := b.taken[name+suffix]; taken && at >= 0 {
				b.leftOut[column{kind, index}] = true // another family already has one of its names
				return
			}
		}
		for _, suffix := range histogramSamples {
			b.taken[name+suffix] = -1
		}
	}
	for _, part := range parts {
		b.addPart(kind, index, m, part, name+part.suffix())
	}
}

func (b *builder) addPart(kind int, index int32, m *schema.Metric, part Part, name string) {
	typ := m.Type
	if part != Whole {
		typ = schema.Gauge
	}
	at, taken := b.taken[name]
	if !taken {
		at = len(b.families)
		b.taken[name] = at
		columns := make([]int32, len(b.schemas))
		for i := range columns {
			columns[i] = -1
		}
		b.families = append(b.families, Family{Name: name, Help: m.Help, Type: typ, Part: part, group: groupReported, metric: columns})
	}
	if at >= 0 && b.families[at].Type == typ && b.families[at].Part == part {
		b.families[at].metric[kind] = index
	} else {
		b.leftOut[column{kind, index}] = true
	}
}
