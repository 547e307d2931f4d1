package expo

import (
	"strings"
	"sync/atomic"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A syntax is a way to write labels: as text or as protobuf.
type syntax struct {
	open, between, close string
	noTime               string // the end of a sample without a time
	append               func(b []byte, name, value string) []byte
}

// memo returns the memo for the syntax.
func (x *syntax) memo(text, proto *schema.Memo) *schema.Memo {
	if x == protoLabels {
		return proto
	}
	return text
}

// labelText is the labels of a source in a syntax. Pages use it tens of thousands of times, so it
// is built once in the lifetime of a sandbox.
type labelText struct {
	syntax *syntax
	pieces [len(snapshot.IdentityLabels)]string // all but the first have a leading separator
	none   bool                                 // all pieces are empty
	block  string                               // all labels, with braces; "" if there are none
}

// labelsOf returns the labels in the syntax.
func (x *syntax) labelsOf(l *snapshot.Labels) *labelText {
	return schema.Remember(x.memo(&l.Text, &l.Proto), func() *labelText { return x.newLabelText(l) })
}

func (x *syntax) newLabelText(l *snapshot.Labels) *labelText {
	t := &labelText{syntax: x, none: true}
	for i, value := range l.Values() {
		if value == "" {
			continue
		}
		if !t.none {
			t.pieces[i] = x.between
		}
		t.pieces[i] += string(x.append(nil, snapshot.IdentityLabels[i], value))
		t.none = false
	}
	if !t.none {
		t.block = string(t.append(nil, &insertion{}))
	}
	return t
}

// append appends the labels and the labels of ins, sorted by name. ins may be nil.
func (t *labelText) append(b []byte, ins *insertion) []byte {
	if ins == nil {
		return append(b, t.block...)
	}
	if t.none {
		return t.syntax.appendAlone(b, ins)
	}
	b = append(b, t.syntax.open...)
	b = append(b, ins.pieces[0]...)
	for i := range t.pieces {
		b = append(b, t.pieces[i]...)
		b = append(b, ins.pieces[i+1]...)
	}
	return append(b, t.syntax.close...)
}

// appendBound appends the labels as text, with the labels of ins and the bound of a bucket.
func (t *labelText) appendBound(b []byte, ins *insertion, bound []byte) []byte {
	from := len(b)
	if b = t.append(b, ins); len(b) > from {
		b[len(b)-1] = ',' // in place of the brace
	} else {
		b = append(b, '{')
	}
	b = append(b, `le="`...)
	b = append(b, bound...)
	return append(b, `"}`...)
}

// An insertion holds additional labels in a syntax, for the places before, between and after the
// labels of a sandbox, so that all labels are sorted. Each piece includes its separators. This
// requires that the sandbox has its first and its last label, the iteration and the ID, which every
// sandbox has.
type insertion struct {
	pieces [len(snapshot.IdentityLabels) + 1]string
	size   int // of all pieces, in bytes
}

// appendAlone appends the labels of ins without other labels. If ins has no labels, it appends
// nothing.
func (x *syntax) appendAlone(b []byte, ins *insertion) []byte {
	separator, some := x.open, false
	for _, text := range ins.pieces {
		if text = strings.Trim(text, x.between); text != "" {
			b = append(append(b, separator...), text...)
			separator, some = x.between, true
		}
	}
	if some {
		b = append(b, x.close...)
	}
	return b
}

// newInsertion returns labels as an insertion. The labels must be sorted by name.
func (x *syntax) newInsertion(labels []snapshot.Label) *insertion {
	var ins insertion
	for _, l := range labels {
		place := 0
		for place < len(snapshot.IdentityLabels) && snapshot.IdentityLabels[place] < l.Name {
			place++
		}
		text := string(x.append(nil, l.Name, l.Value))
		if place == 0 {
			text += x.between
		} else {
			text = x.between + text
		}
		ins.pieces[place] += text
		ins.size += len(text)
	}
	return &ins
}

// setText returns a label set as an insertion.
func (x *syntax) setText(s *snapshot.LabelSet) *insertion {
	return schema.Remember(x.memo(&s.Text, &s.Proto), func() *insertion { return x.newInsertion(s.Pairs) })
}

// seriesText holds the fields of the series of a schema as insertions. Each insertion is built on
// first use. It is safe for concurrent use: goroutines that find the same place empty each build
// the same text.
type seriesText struct {
	syntax   *syntax
	schema   *schema.Schema
	byMetric []atomic.Pointer[[]atomic.Pointer[insertion]]
}

// seriesOf returns the seriesText of the schema.
func (x *syntax) seriesOf(s *schema.Schema) *seriesText {
	return schema.Remember(x.memo(&s.Text, &s.Proto), func() *seriesText {
		return &seriesText{x, s, make([]atomic.Pointer[[]atomic.Pointer[insertion]], len(s.Metrics))}
	})
}

// fields returns the fields of a sample. The metric of the sample must have fields.
func (t *seriesText) fields(s snapshot.Sample) *insertion {
	m := &t.schema.Metrics[s.Metric]
	place := &t.byMetric[s.Metric]
	list := place.Load()
	if list == nil {
		made := make([]atomic.Pointer[insertion], m.Series)
		place.CompareAndSwap(nil, &made)
		list = place.Load()
	}
	text := &(*list)[s.Series-m.First]
	if ins := text.Load(); ins != nil {
		return ins
	}
	ins := t.syntax.newInsertion(fieldLabels(m, s.Series))
	text.Store(ins)
	return ins
}

// fieldLabels returns the fields of a series as labels, sorted by name.
func fieldLabels(m *schema.Metric, series uint32) []snapshot.Label {
	labels := make([]snapshot.Label, 0, len(m.Fields))
	for i, value := range m.Labels(series) {
		labels = append(labels, snapshot.Label{Name: m.Fields[i].Name, Value: value})
	}
	return labels
}
