package expo

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// Text is version 0.0.4 of Prometheus's text format.
type Text struct{}

// ContentType implements Format.
func (Text) ContentType() string { return "text/plain; version=0.0.4; charset=utf-8" }

// Append implements Format.
func (Text) Append(b []byte, p *page.Page) []byte {
	t := text{walk: p.Walk(), sources: textSources(p)}
	for i := range p.Families {
		b = t.appendFamily(b, &p.Families[i])
	}
	return b
}

// text is one page as it is rendered.
type text struct {
	walk    *page.Walk
	sources []textSource // of the page, by index
}

// textSource is what all lines of a source have in common.
type textSource struct {
	labels *labelText
	series *seriesText // nil for the server's own families, which have no fields
	end    string      // of a line, behind the value: the time
}

func textSources(p *page.Page) []textSource {
	sources := make([]textSource, len(p.Sources))
	ends := make([]byte, 0, len(p.Sources)*len(" 1795338760112\n"))
	starts := make([]int, len(p.Sources)+1)
	for i := range p.Sources {
		src := p.Sources[i].Source
		sources[i].labels = textOf(src.Labels)
		if src.Schema != schema.Server {
			sources[i].series = seriesOf(src.Schema)
		}
		ends = append(ends, ' ')
		ends = strconv.AppendInt(ends, src.Time, 10)
		ends = append(ends, '\n')
		starts[i+1] = len(ends)
	}
	all := string(ends) // one string for all of them: a scrape makes no garbage per sandbox here
	for i := range sources {
		sources[i].end = all[starts[i]:starts[i+1]]
	}
	return sources
}

func (t *text) appendFamily(b []byte, f *page.Family) []byte {
	empty := true
	for src, samples := range t.walk.Samples(f) {
		if empty {
			b = appendHead(b, f)
			empty = false
		}
		m, with := src.Metric(samples[0]), &t.sources[src.Index]
		for _, s := range samples {
			b = with.appendSample(b, f, m, src, s)
		}
	}
	return b
}

func appendHead(b []byte, f *page.Family) []byte {
	b = append(b, "# HELP "...)
	b = append(b, f.Name...)
	b = append(b, ' ')
	b = append(b, helpText.Replace(strings.ToValidUTF8(f.Help, "\uFFFD"))...)
	b = append(b, "\n# TYPE "...)
	b = append(b, f.Name...)
	b = append(b, ' ')
	b = append(b, f.Type.String()...)
	return append(b, '\n')
}

func (t *textSource) appendSample(b []byte, f *page.Family, m *schema.Metric, src *page.Source, s snapshot.Sample) []byte {
	if f.Type == schema.Histogram {
		return t.appendHistogram(b, f.Name, m, src, s)
	}
	b = append(b, f.Name...)
	b = t.appendLabels(b, m, src, s)
	b = append(b, ' ')
	switch {
	case f.Part != page.Whole:
		b = appendNumber(b, f.Part.Of(src.Histogram(s)))
	case m.Float:
		b = appendFloat(b, s.Float())
	default:
		b = strconv.AppendInt(b, s.Value, 10)
	}
	return append(b, t.end...)
}

// appendLabels appends the labels of a sample: its source's, and its fields or its label set.
func (t *textSource) appendLabels(b []byte, m *schema.Metric, src *page.Source, s snapshot.Sample) []byte {
	switch {
	case m.Open:
		return t.labels.append(b, setText(src.Sets[s.Series]))
	case len(m.Fields) > 0:
		return t.labels.append(b, t.series.fields(s))
	}
	return append(b, t.labels.block...)
}

// appendHistogram appends buckets, sum and count. Prometheus's buckets count all samples up to their bound.
func (t *textSource) appendHistogram(b []byte, name string, m *schema.Metric, src *page.Source, s snapshot.Sample) []byte {
	h := src.Histogram(s)
	fields := fieldLabels(m, s.Series)
	var count uint64
	for i, n := range h.Counts {
		count += n
		le := "+Inf"
		if i < len(m.Bounds) {
			le = strconv.FormatInt(m.Bounds[i], 10)
		}
		b = append(b, name...)
		b = append(b, "_bucket"...)
		b = t.labels.append(b, newInsertion(withBound(fields, le)))
		b = append(b, ' ')
		b = strconv.AppendUint(b, count, 10)
		b = append(b, t.end...)
	}
	b = append(b, name...)
	b = append(b, "_sum"...)
	b = t.appendLabels(b, m, src, s)
	b = append(b, ' ')
	b = appendNumber(b, h.Total)
	b = append(b, t.end...)
	b = append(b, name...)
	b = append(b, "_count"...)
	b = t.appendLabels(b, m, src, s)
	b = append(b, ' ')
	b = strconv.AppendUint(b, count, 10)
	return append(b, t.end...)
}

// withBound returns the fields and the bound of a bucket, sorted by name.
func withBound(fields []snapshot.Label, le string) []snapshot.Label {
	at, _ := slices.BinarySearchFunc(fields, "le", func(l snapshot.Label, name string) int { return strings.Compare(l.Name, name) })
	return slices.Insert(slices.Clone(fields), at, snapshot.Label{Name: "le", Value: le})
}

func appendNumber(b []byte, n snapshot.Number) []byte {
	if n.IsFloat {
		return appendFloat(b, n.Float)
	}
	return strconv.AppendInt(b, n.Int, 10)
}

// appendFloat appends the shortest text that reads back as f, without an exponent where people do without one.
func appendFloat(b []byte, f float64) []byte {
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64) // NaN, +Inf and -Inf are spelled as Prometheus does
}
