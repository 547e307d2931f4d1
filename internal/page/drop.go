package page

import (
	"slices"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// dropLabels replaces the sources of the page by sources without the labels that d has, if there are
// any. Formats do not notice: a source without labels has a schema and label sets without them.
//
// It leaves out the other groups. The labels of cAdvisor's families are what rules sum by and join
// with, and the families have no label sandbox that would tell their series apart.
func (p *Page) dropLabels(d *schema.Drop) {
	if d == nil {
		return
	}
	sources := make([]snapshot.Source, len(p.Sources)) // one allocation for all; the page refers to its elements
	for _, group := range []int{groupReported, groupServer, groupSandbox, groupUsage} {
		for i := p.groups[group].from; i < p.groups[group].to; i++ {
			sources[i] = *p.Sources[i].Source
			dropFrom(&sources[i], d)
			p.Sources[i].Source = &sources[i]
		}
	}
}

// dropFrom changes a source, but none of the slices that it refers to. Series that become equal
// become one. Its sizes stay those of the page without filters.
func dropFrom(src *snapshot.Source, d *schema.Drop) {
	from := *src
	src.Labels, src.Schema = from.Labels.Without(d), from.Schema.Without(d)
	inSets := slices.ContainsFunc(from.Sets, func(s *snapshot.LabelSet) bool { return s.Without(d) != s })
	if src.Schema == from.Schema && !inSets {
		return
	}
	src.Samples = make([]snapshot.Sample, 0, len(from.Samples))
	src.Histograms, src.Sets = nil, nil
	m := merge{&from, src, d}
	for at := 0; at < len(from.Samples); {
		end := at + 1
		for end < len(from.Samples) && from.Samples[end].Metric == from.Samples[at].Metric {
			end++
		}
		if from.Metric(from.Samples[at]).Open {
			m.addSets(from.Samples[at:end])
		} else {
			m.addFields(from.Samples[at:end])
		}
		at = end
	}
}

// A merge adds the samples of a source to one with fewer labels.
type merge struct {
	from, to *snapshot.Source
	drop     *schema.Drop
}

// addSets adds the samples of an open metric, which have label sets.
func (m *merge) addSets(samples []snapshot.Sample) {
	metric, first := m.from.Metric(samples[0]), len(m.to.Samples)
	for _, s := range samples {
		set := m.from.Sets[s.Series].Without(m.drop)
		added := m.to.Samples[first:]
		same := slices.IndexFunc(added, func(a snapshot.Sample) bool {
			other := m.to.Sets[a.Series]
			return other == set || slices.Equal(other.Pairs, set.Pairs)
		})
		if same >= 0 {
			added[same].Value = united(metric, added[same].Value, s.Value)
			continue
		}
		s.Series = uint32(len(m.to.Sets))
		m.to.Samples, m.to.Sets = append(m.to.Samples, s), append(m.to.Sets, set)
	}
}

// addFields adds the samples of a metric that may have fields.
func (m *merge) addFields(samples []snapshot.Sample) {
	metric, reduced := m.from.Metric(samples[0]), &m.to.Schema.Metrics[samples[0].Metric]
	first := len(m.to.Samples)
	for _, s := range samples {
		s.Series = metric.SeriesIn(reduced, s.Series)
		m.to.Samples = append(m.to.Samples, s)
	}
	added := m.to.Samples[first:]
	if len(reduced.Fields) < len(metric.Fields) {
		slices.SortStableFunc(added, func(a, b snapshot.Sample) int { return int(a.Series) - int(b.Series) })
	}
	kept := added[:0]
	for _, s := range added {
		if n := len(kept); n > 0 && kept[n-1].Series == s.Series {
			m.unite(metric, &kept[n-1], s)
			continue
		}
		if metric.Type == schema.Histogram {
			m.to.Histograms = append(m.to.Histograms, m.from.Histograms[s.Value])
			s.Value = int64(len(m.to.Histograms) - 1)
		}
		kept = append(kept, s)
	}
	m.to.Samples = m.to.Samples[:first+len(kept)]
}

// unite adds a sample of from to one that is already in to.
func (m *merge) unite(metric *schema.Metric, to *snapshot.Sample, s snapshot.Sample) {
	if metric.Type == schema.Histogram {
		h := &m.to.Histograms[to.Value]
		*h = unitedHistogram(h, &m.from.Histograms[s.Value])
		return
	}
	to.Value = united(metric, to.Value, s.Value)
}
