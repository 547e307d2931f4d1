// Package schema compiles a registration, the list of metrics that a sandbox registered before any
// process ran in it, into a Schema, with which replies are verified and pages rendered. All
// sandboxes of one runsc release register the same metrics, so they share one Schema.
//
// A registration comes from a state file, which runsc writes on the host. It is checked
// nevertheless, because its names and texts appear on the page.
package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A Type is the type of a metric.
type Type uint8

// The types that runsc registers. In replies they have other numbers; see wireType.
const (
	Gauge Type = iota
	Counter
	Histogram
)

// String returns the type as a Prometheus TYPE line names it.
func (t Type) String() string { return [...]string{"gauge", "counter", "histogram"}[t] }

// wireType returns the number of the type in a sandbox's reply.
func (t Type) wireType() int64 { return [...]int64{1, 2, 3}[t] }

// A Unit is the unit of a metric's values, if a page may convert it.
type Unit uint8

// The units that runsc registers, or that the server's own metrics have.
const (
	NoUnit Unit = iota // any other unit, or none
	Nanoseconds
	Milliseconds
)

// String returns the unit as texts name it; "" for NoUnit.
func (u Unit) String() string { return [...]string{"", "nanoseconds", "milliseconds"}[u] }

// PerSecond returns how many of the unit are a second; 1 for NoUnit.
func (u Unit) PerSecond() int64 { return [...]int64{1, 1e9, 1e3}[u] }

// A Size is the size of samples on a page.
type Size struct {
	Series int
	Bytes  int // of text, without the labels of the source
}

// Limits of a registration. A current runsc registers 178 metrics and 2,794 series. A metric of all
// system calls by all errors (450 by 133) fits in as well.
const (
	MaxMetrics = 10_000
	MaxSeries  = 1 << 20
	MaxText    = 4 << 10 // bytes of a name, a help text, a field's name or value
	maxBounds  = 255
)

// A Schema is a compiled registration, or the list of the server's own families. It is immutable
// and safe for concurrent use.
type Schema struct {
	Metrics []Metric // sorted by name
	// Series is how many series are possible. Each has a number below that. The numbers of a
	// metric's series are consecutive, in the order of Metrics, so sorting series by number sorts
	// them for a page.
	Series int
	// MaxReply is the length in bytes of the longest possible reply, which has every series.
	MaxReply int
	// Zeros is what the series of all metrics with Zero add to a page.
	Zeros Size
	// Text and Proto cache what formats make of the schema's series, in text and in protobuf.
	Text, Proto Memo

	byName map[string]int32
}

// A Metric is one registered metric.
type Metric struct {
	Name   string // for Prometheus, without the exporter's prefix
	Help   string
	Type   Type
	Fields []Field // sorted by name
	Bounds []int64 // of a histogram: upper bounds of all buckets but the last, which has none
	First  uint32  // number of its first series
	Series uint32  // how many series it has: the product of the numbers of its fields' values
	Unit   Unit    // of its values
	Zero   bool    // a counter: series that a sandbox did not send are on the page, as 0

	// WireType is the number of the type in a sandbox's reply. Definition is the rest of the
	// metric's definition after its name, as runsc encodes it in replies.
	WireType   int64
	Definition []byte

	// LineSize is the approximate number of bytes of a sample on a page, without the labels of its
	// source and those of an open metric.
	LineSize int

	// Only the server's own metrics set these. Float excludes a Unit.
	Float bool // values are the bits of a float64
	Open  bool // no fields: each sample has its own label set, and its Series is the index of that in its source
	// SetLabels are the names of the labels that label sets of an open metric have, for the docs.
	SetLabels []string
	Whole     bool // the exporter's prefix is not put before the name
}

// A Field is a label with a closed set of values.
type Field struct {
	Name   string
	Values []string
	Stride uint32 // difference between the series numbers of two consecutive values
	Plain  bool   // no value needs an escape in JSON

	index map[string]uint32
}

// New returns a schema of the server's own metrics, which are sorted by name. It leaves out what only
// replies need, since no sandbox sends these metrics.
func New(metrics []Metric) *Schema {
	s := &Schema{Metrics: slices.Clone(metrics), Series: len(metrics)}
	for i := range s.Metrics {
		m := &s.Metrics[i]
		m.First, m.Series = uint32(i), 1
		m.LineSize = lineSize(m)
	}
	return s
}

// Find returns the index in Metrics of the metric with the name, which has no prefix, or -1.
func (s *Schema) Find(name []byte) int {
	if i, ok := s.byName[string(name)]; ok {
		return int(i)
	}
	return -1
}

// Offset returns what value adds to the number of a series, and whether the field allows the value.
func (f *Field) Offset(value []byte) (offset uint32, ok bool) {
	i, ok := f.index[string(value)]
	return i * f.Stride, ok
}

// Labels returns the values of the fields, in the order of Fields, of a series of the metric.
func (m *Metric) Labels(series uint32) []string {
	values := make([]string, len(m.Fields))
	rest := series - m.First
	for i := range m.Fields {
		f := &m.Fields[i]
		values[i] = f.Values[rest/f.Stride]
		rest %= f.Stride
	}
	return values
}

// A RefusedError says why a registration is refused. Its sandboxes have no metrics.
type RefusedError struct {
	Metric string // Prometheus name of the offending metric; empty: the rule is not about one metric
	Rule   string // how the rule is broken
}

func (e *RefusedError) Error() string {
	if e.Metric == "" {
		return "registration refused: " + e.Rule
	}
	return fmt.Sprintf("registration refused: metric %s: %s", Quote(e.Metric), e.Rule)
}

// Quote returns a registered text in a form for the log: short, printable, on one line.
func Quote(text string) string {
	const most = 100
	if len(text) <= most {
		return strconv.QuoteToASCII(text)
	}
	return strconv.QuoteToASCII(text[:most]) + "…"
}

// lineSize returns a metric's LineSize: its name, its longest labels, and a value and a time of
// typical length. A histogram has a line for each bucket and five more.
func lineSize(m *Metric) int {
	const prefix, value, time = len("runsc_"), 12, len(" 1795338760112\n")
	size := prefix + len(m.Name) + value + time
	for i := range m.Fields {
		size += len(m.Fields[i].Name) + len(`="",`) + longest(m.Fields[i].Values, func(v string) int { return len(v) })
	}
	if m.Type == Histogram {
		size *= len(m.Bounds) + 1 + 5
	}
	return size
}

// longest returns the greatest length of the texts.
func longest(texts []string, length func(string) int) (n int) {
	for _, t := range texts {
		n = max(n, length(t))
	}
	return n
}

// finish numbers the series and fills in the computed fields.
func (s *Schema) finish() error {
	slices.SortFunc(s.Metrics, func(a, b Metric) int { return strings.Compare(a.Name, b.Name) })
	s.byName = make(map[string]int32, len(s.Metrics))
	s.MaxReply = len(replyFrame)
	series := 0
	for i := range s.Metrics {
		m := &s.Metrics[i]
		s.byName[m.Name] = int32(i)
		m.First = uint32(series)
		m.WireType = m.Type.wireType()
		m.Definition = wireDefinition(m)
		m.LineSize = lineSize(m)
		n := 1
		for k := len(m.Fields) - 1; k >= 0; k-- {
			m.Fields[k].Stride = uint32(n)
			if n *= len(m.Fields[k].Values); n > MaxSeries {
				break
			}
		}
		if series += n; series > MaxSeries {
			return &RefusedError{m.Name, fmt.Sprintf("the registration has more than %d possible series", MaxSeries)}
		}
		m.Series = uint32(n)
		s.MaxReply += maxPoints(m)
	}
	s.Series = series
	return nil
}
