package collect

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/internal/expo"
	"github.com/sandmeter/sandmeter/internal/schema"
)

// merge makes the page of what is known now.
func (c *Collector) merge(r Request, now time.Time) {
	p := &c.page
	p.Time = now.UnixMilli()
	p.Sources = p.Sources[:0]
	kinds := make(map[*compiled]int)
	var schemas []*schema.Schema // by kind
	for _, s := range c.table.sorted {
		if !s.answered() {
			continue
		}
		kind, known := kinds[s.compiled]
		if !known {
			kind = len(kinds)
			kinds[s.compiled] = kind
			schemas = append(schemas, s.compiled.schema)
		}
		p.Sources = append(p.Sources, expo.Source{
			Labels:   s.labels,
			Kind:     kind,
			Series:   s.compiled.text,
			Time:     s.baseline.Time().UnixMilli(),
			Samples:  s.baseline.Samples(s.compiled.wanted(&r)),
			Baseline: &s.baseline,
		})
	}
	merged := c.families.of(schemas, c.own, c.options.Prefix)
	c.own.collect(c.table, r.Capabilities)
	if n := c.families.countLeftOut(p.Sources); n > 0 {
		c.own.add(famLeftOut, "", float64(n))
	}
	p.Families = append(append(p.Families[:0], c.own[:]...), merged...)
	slices.SortFunc(p.Families, func(a, b expo.Family) int { return strings.Compare(a.Name, b.Name) })
}

// families are the families that sandboxes registered, merged from their schemas.
type families struct {
	schemas []*schema.Schema // that merged is made of
	merged  []expo.Family
	taken   map[string]int // names that samples of families have; index in merged, -1 for names that are no family's own
	leftOut map[column]bool
}

// column is a metric of a kind of sources.
type column struct {
	kind   int
	metric int32
}

// countLeftOut returns how many series of the sources are not, or not wholly, on the page.
func (f *families) countLeftOut(sources []expo.Source) (series int) {
	if len(f.leftOut) == 0 {
		return 0
	}
	for i := range sources {
		for _, s := range sources[i].Samples {
			if f.leftOut[column{sources[i].Kind, s.Metric}] {
				series++
			}
		}
	}
	return series
}

// of returns the families of the schemas, which come in the order in which sandboxes that have them do. That order decides where they
// disagree: the first one's HELP is the family's; a metric of another type than its family has is left out.
func (f *families) of(schemas []*schema.Schema, own *own, prefix string) []expo.Family {
	if slices.Equal(f.schemas, schemas) && f.merged != nil {
		return f.merged
	}
	f.schemas = slices.Clone(schemas)
	f.merged = make([]expo.Family, 0)
	f.taken = make(map[string]int)
	f.leftOut = make(map[column]bool)
	for i := range own {
		f.taken[own[i].Name] = -1
	}
	for kind, s := range schemas {
		for i := range s.Metrics {
			f.add(kind, int32(i), &s.Metrics[i], prefix+s.Metrics[i].Name)
		}
	}
	slices.SortFunc(f.merged, func(a, b expo.Family) int { return cmp.Compare(a.Name, b.Name) })
	return f.merged
}

// histogramSamples are the endings of the names under which a histogram's samples stand.
var histogramSamples = []string{"_bucket", "_count", "_sum"}

func (f *families) add(kind int, index int32, m *schema.Metric, name string) {
	parts := []expo.Part{expo.Whole}
	if m.Type == schema.Histogram {
		parts = append(parts, expo.Min, expo.Max, expo.SSD)
		for _, suffix := range histogramSamples {
			if at, taken := f.taken[name+suffix]; taken && at >= 0 {
				f.leftOut[column{kind, index}] = true // somebody else's family has one of its names
				return
			}
		}
		for _, suffix := range histogramSamples {
			f.taken[name+suffix] = -1
		}
	}
	for _, part := range parts {
		f.addPart(kind, index, m, part, name+part.Suffix())
	}
}

func (f *families) addPart(kind int, index int32, m *schema.Metric, part expo.Part, name string) {
	typ := m.Type
	if part != expo.Whole {
		typ = schema.Gauge
	}
	at, taken := f.taken[name]
	if !taken {
		at = len(f.merged)
		f.taken[name] = at
		columns := make([]int32, len(f.schemas))
		for i := range columns {
			columns[i] = -1
		}
		f.merged = append(f.merged, expo.Family{Name: name, Help: m.Help, Type: typ, Part: part, Metric: columns})
	}
	if at >= 0 && f.merged[at].Type == typ && f.merged[at].Part == part {
		f.merged[at].Metric[kind] = index
	} else {
		f.leftOut[column{kind, index}] = true
	}
}
