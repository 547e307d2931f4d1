package expo

import (
	"bytes"
	"math"
	"strconv"
	"strings"

	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// textLabels is the syntax of labels in the text formats.
var textLabels = &syntax{open: "{", between: ",", close: "}", noTime: "\n", append: appendLabel}

// lines renders a page in a format with one line per sample.
type lines struct {
	walk        *page.Walk
	sources     []source // of the page, by index
	help        *strings.Replacer
	appendBound func(b []byte, bound, perSecond int64) []byte
	bound       []byte // buffer for the bound of a bucket
}

// A head is the name and type of a family. Samples keep the family's own name.
type head struct {
	name, kind string
}

func (l *lines) appendFamily(b []byte, f *page.Family, h head) []byte {
	empty := true
	for src, samples := range l.walk.Samples(f) {
		if empty {
			b = l.appendHead(b, f, h)
			empty = false
		}
		m, with := src.Metric(samples[0]), &l.sources[src.Index]
		for _, s := range samples {
			ins := with.insertion(m, src, s)
			if f.Type == schema.Histogram {
				b = l.appendHistogram(b, f, m, with, ins, src.Histogram(s))
			} else {
				b = append(b, f.Name...)
				b = with.labels.append(b, ins)
				b = appendValue(append(b, ' '), f, m, src, s)
				b = append(b, with.time...)
			}
		}
	}
	return b
}

func (l *lines) appendHead(b []byte, f *page.Family, h head) []byte {
	b = append(b, "# HELP "...)
	b = append(b, h.name...)
	b = append(b, ' ')
	b = append(b, l.help.Replace(strings.ToValidUTF8(f.Help, "\uFFFD"))...)
	b = append(b, "\n# TYPE "...)
	b = append(b, h.name...)
	b = append(b, ' ')
	b = append(b, h.kind...)
	return append(b, '\n')
}

func appendValue(b []byte, f *page.Family, m *schema.Metric, src *page.Source, s snapshot.Sample) []byte {
	switch {
	case f.Part != page.Whole:
		return appendNumber(b, f.Part.Of(src.Histogram(s)), f.PartPerSecond())
	case m.Float:
		return appendFloat(b, s.Float())
	}
	return appendInt(b, s.Value, f.PerSecond)
}

// appendHistogram appends buckets, sum and count. Prometheus buckets are cumulative.
func (l *lines) appendHistogram(b []byte, f *page.Family, m *schema.Metric, with *source, ins *insertion, h *snapshot.Histogram) []byte {
	var count uint64
	for i, n := range h.Counts {
		count += n
		l.bound = append(l.bound[:0], "+Inf"...)
		if i < len(m.Bounds) {
			l.bound = l.appendBound(l.bound[:0], m.Bounds[i], f.PerSecond)
		}
		b = append(b, f.Name...)
		b = append(b, "_bucket"...)
		b = with.labels.appendBound(b, ins, l.bound)
		b = strconv.AppendUint(append(b, ' '), count, 10)
		b = append(b, with.time...)
	}
	b = append(b, f.Name...)
	b = append(b, "_sum"...)
	b = with.labels.append(b, ins)
	b = appendNumber(append(b, ' '), h.Total, f.PerSecond)
	b = append(b, with.time...)
	b = append(b, f.Name...)
	b = append(b, "_count"...)
	b = with.labels.append(b, ins)
	b = strconv.AppendUint(append(b, ' '), count, 10)
	return append(b, with.time...)
}

// appendNumber appends n divided by perSecond, which is what a second has of n's unit.
func appendNumber(b []byte, n snapshot.Number, perSecond int64) []byte {
	if n.IsFloat {
		return appendFloat(b, n.Float/float64(perSecond))
	}
	return appendInt(b, n.Int, perSecond)
}

// appendInt appends n divided by perSecond, a power of ten, with all digits.
func appendInt(b []byte, n, perSecond int64) []byte {
	switch {
	case perSecond == 1: // nearly always: do not divide
		return strconv.AppendInt(b, n, 10)
	case n%perSecond == 0:
		return strconv.AppendInt(b, n/perSecond, 10)
	}
	return bytes.TrimRight(appendDecimal(b, n, perSecond), "0")
}

// appendFloat appends the shortest text that parses back to f. It uses an exponent only for very
// small and very large numbers.
func appendFloat(b []byte, f float64) []byte {
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.AppendFloat(b, f, 'e', -1, 64)
	}
	// NaN, +Inf and -Inf are spelled the same in Prometheus.
	return strconv.AppendFloat(b, f, 'f', -1, 64)
}

// appendLabel appends a label as text.
func appendLabel(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, `="`...)
	b = append(b, quotedText.Replace(strings.ToValidUTF8(value, "\uFFFD"))...)
	return append(b, '"')
}

var (
	quotedText = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	plainText  = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
)
