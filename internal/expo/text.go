package expo

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// ContentType of what AppendText renders.
const ContentType = "text/plain; version=0.0.4; charset=utf-8"

// AppendText renders the page in Prometheus's text format. Families without samples are left out.
func AppendText(b []byte, p *Page) []byte {
	t := text{page: p, cursors: make([]int, len(p.Sources)), times: make([]string, len(p.Sources))}
	for i := range p.Sources {
		t.times[i] = lineEnd(p.Sources[i].Time)
	}
	ownEnd := lineEnd(p.Time)
	for i := range p.Families {
		f := &p.Families[i]
		switch {
		case f.Metric == nil:
			b = appendOwn(b, f, ownEnd)
		case f.Part == Whole:
			b = t.appendFamily(b, f)
		default:
			b = t.appendPart(b, f)
		}
	}
	return b
}

// lineEnd is what stands behind the value of a sample with a time.
func lineEnd(ms int64) string {
	end := append(make([]byte, 0, len(" -9223372036854775808\n")), ' ')
	end = strconv.AppendInt(end, ms, 10)
	return string(append(end, '\n'))
}

// text is the walk through a page: families in order and, in each, sources in order. Each source's samples are in the order of the
// families, so a cursor in each is all that it takes.
type text struct {
	page    *Page
	cursors []int
	times   []string // by source: lineEnd of its time
}

func appendHead(b []byte, f *Family) []byte {
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

func appendOwn(b []byte, f *Family, end string) []byte {
	if len(f.Own) == 0 {
		return b
	}
	b = appendHead(b, f)
	for i := range f.Own {
		o := &f.Own[i]
		b = append(b, f.Name...)
		b = append(b, o.Labels...)
		b = append(b, ' ')
		b = appendFloat(b, o.Value)
		b = append(b, end...)
	}
	return b
}

func (t *text) appendFamily(b []byte, f *Family) []byte {
	empty := true
	for i := range t.page.Sources {
		src := &t.page.Sources[i]
		metric := f.Metric[src.Kind]
		if metric < 0 {
			continue
		}
		at := t.cursors[i]
		for at < len(src.Samples) && src.Samples[at].Metric < metric {
			at++ // of a metric that the page leaves out
		}
		for ; at < len(src.Samples) && src.Samples[at].Metric == metric; at++ {
			if empty {
				b = appendHead(b, f)
				empty = false
			}
			b = t.appendSample(b, f, i, src.Samples[at])
		}
		t.cursors[i] = at
	}
	return b
}

func (t *text) appendSample(b []byte, f *Family, source int, s verify.Sample) []byte {
	src := &t.page.Sources[source]
	if f.Type == schema.Histogram {
		return t.appendHistogram(b, f, source, s)
	}
	b = append(b, f.Name...)
	b = src.appendLabels(b, s)
	b = append(b, ' ')
	b = strconv.AppendInt(b, s.Value, 10)
	return append(b, t.times[source]...)
}

// appendLabels renders the labels of a sample that needs none but the sandbox's and its fields.
func (src *Source) appendLabels(b []byte, s verify.Sample) []byte {
	if ins := src.Series.labels(s.Metric, s.Series); ins != nil {
		return src.Labels.appendBlock(b, ins)
	}
	return append(b, src.Labels.block...)
}

// appendHistogram renders buckets, sum and count. Prometheus's buckets count all samples up to their bound.
func (t *text) appendHistogram(b []byte, f *Family, source int, s verify.Sample) []byte {
	src, end := &t.page.Sources[source], t.times[source]
	m := src.Series.metric(s.Metric)
	h := src.Baseline.Histogram(s)
	var count uint64
	for i, n := range h.Counts {
		count += n
		le := "+Inf"
		if i < len(m.Bounds) {
			le = strconv.FormatInt(m.Bounds[i], 10)
		}
		b = append(b, f.Name...)
		b = append(b, "_bucket"...)
		b = src.Labels.appendBlock(b, newInsertion(append(fieldLabels(m, s.Series), Label{"le", le})))
		b = append(b, ' ')
		b = strconv.AppendUint(b, count, 10)
		b = append(b, end...)
	}
	b = append(b, f.Name...)
	b = append(b, "_sum"...)
	b = src.appendLabels(b, s)
	b = append(b, ' ')
	b = appendNumber(b, h.Total)
	b = append(b, end...)
	b = append(b, f.Name...)
	b = append(b, "_count"...)
	b = src.appendLabels(b, s)
	b = append(b, ' ')
	b = strconv.AppendUint(b, count, 10)
	return append(b, end...)
}

// appendPart renders a family that has one number of each histogram of another family.
func (t *text) appendPart(b []byte, f *Family) []byte {
	empty := true
	for i := range t.page.Sources {
		src := &t.page.Sources[i]
		metric := f.Metric[src.Kind]
		if metric < 0 {
			continue
		}
		at, _ := slices.BinarySearchFunc(src.Samples, metric, func(s verify.Sample, metric int32) int { return int(s.Metric - metric) })
		for ; at < len(src.Samples) && src.Samples[at].Metric == metric; at++ {
			s := src.Samples[at]
			if empty {
				b = appendHead(b, f)
				empty = false
			}
			b = append(b, f.Name...)
			b = src.appendLabels(b, s)
			b = append(b, ' ')
			b = appendNumber(b, f.Part.of(src.Baseline.Histogram(s)))
			b = append(b, t.times[i]...)
		}
	}
	return b
}

func (p Part) of(h *verify.Histogram) verify.Number {
	switch p {
	case Min:
		return h.Min
	case Max:
		return h.Max
	default:
		return verify.Number{Float: h.SSD, IsFloat: true}
	}
}

func appendNumber(b []byte, n verify.Number) []byte {
	if n.IsFloat {
		return appendFloat(b, n.Float)
	}
	return strconv.AppendInt(b, n.Int, 10)
}

// appendFloat renders the shortest text that reads back as f, without an exponent where people do without one.
func appendFloat(b []byte, f float64) []byte {
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64) // NaN, +Inf and -Inf are spelled as Prometheus does
}
