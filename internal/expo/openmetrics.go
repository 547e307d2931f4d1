package expo

import (
	"bytes"
	"slices"
	"strconv"
	"strings"

	"github.com/sandmeter/sandmeter/internal/page"
	"github.com/sandmeter/sandmeter/internal/schema"
)

// OpenMetrics is version 1.0.0 of the OpenMetrics text format.
type OpenMetrics struct{}

func (OpenMetrics) contentType(mediaType string, params map[string]string) string {
	if version := params["version"]; mediaType != "application/openmetrics-text" || version != "" && version != "1.0.0" {
		return ""
	}
	return "application/openmetrics-text; version=1.0.0; charset=utf-8"
}

// Append implements Format.
func (OpenMetrics) Append(b []byte, p *page.Page) []byte {
	l := lines{walk: p.Walk(), help: quotedText, appendBound: appendCanonical}
	l.sources = newSources(p, textLabels, appendSeconds, nil)
	b = appendProcess(b, p.Process, openMetricsFamily)
	for i := range p.Families {
		f := &p.Families[i]
		b = l.appendFamily(b, f, headOf(p, f))
	}
	return append(b, "# EOF\n"...)
}

// headOf returns the head of a family. The name of a counter is the name of its samples without
// _total. A counter has the type unknown and keeps its name if the name does not end in _total, or
// if another family has the name without _total.
func headOf(p *page.Page, f *page.Family) head {
	h := head{name: f.Name, kind: f.Type.String()}
	if f.Type != schema.Counter {
		return h
	}
	base, ok := strings.CutSuffix(f.Name, "_total")
	if !ok || base == "" || hasFamily(p, base) {
		h.kind = "unknown"
		return h
	}
	h.name = base
	return h
}

func hasFamily(p *page.Page, name string) bool {
	_, found := slices.BinarySearchFunc(p.Families, name, func(f page.Family, name string) int { return strings.Compare(f.Name, name) })
	return found
}

// appendSeconds appends the time of a sample, in seconds, and the end of the line.
func appendSeconds(b []byte, ms int64) []byte {
	return append(appendDecimal(append(b, ' '), ms, 1000), '\n')
}

// appendDecimal appends n divided by divisor, a power of ten, with all digits.
func appendDecimal(b []byte, n, divisor int64) []byte {
	whole, rest := uint64(n)/uint64(divisor), uint64(n)%uint64(divisor)
	if n < 0 {
		b = append(b, '-')
		whole, rest = -uint64(n)/uint64(divisor), -uint64(n)%uint64(divisor)
	}
	b = strconv.AppendUint(b, whole, 10)
	point := len(b)
	b = strconv.AppendUint(b, uint64(divisor)+rest, 10) // a 1, and the digits with leading zeros
	b[point] = '.'
	return b
}

// appendCanonical appends a bound in the canonical float format of OpenMetrics.
func appendCanonical(b []byte, bound, perSecond int64) []byte {
	from := len(b)
	b = strconv.AppendFloat(b, float64(bound)/float64(perSecond), 'g', -1, 64)
	if !bytes.ContainsAny(b[from:], ".e") {
		b = append(b, ".0"...)
	}
	return b
}
