package expo

import (
	"strings"
	"sync/atomic"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// labelText is the labels of a source as text. Pages are made of it by the ten thousand, so it is made once in the life of a sandbox.
type labelText struct {
	pieces [len(snapshot.IdentityLabels)]string // the first one that is there without a comma before it
	first  int                                  // index of that one
	block  string                               // all of them, with braces; "" for none
}

// textOf returns the labels as text.
func textOf(l *snapshot.Labels) *labelText {
	return schema.Remember(&l.Text, func() *labelText { return newLabelText(l) })
}

func newLabelText(l *snapshot.Labels) *labelText {
	t := &labelText{first: len(snapshot.IdentityLabels)}
	for i, value := range l.Values() {
		if value == "" {
			continue
		}
		text := string(appendLabel(nil, snapshot.IdentityLabels[i], value))
		if t.first < i {
			text = "," + text
		} else {
			t.first = i
		}
		t.pieces[i] = text
	}
	if t.first < len(t.pieces) {
		t.block = string(t.append(nil, &insertion{}))
	}
	return t
}

// append appends the labels and those of ins, sorted by name.
func (t *labelText) append(b []byte, ins *insertion) []byte {
	if t.first == len(t.pieces) {
		return ins.appendAlone(b)
	}
	b = append(b, '{')
	b = append(b, ins[0]...)
	for i := range t.pieces {
		b = append(b, t.pieces[i]...)
		b = append(b, ins[i+1]...)
	}
	return append(b, '}')
}

// An insertion is other labels as text for their places before, between and behind those of a sandbox, so that all are sorted. Each piece has
// its commas, which is right as long as the sandbox has its first label and its last, and all have: the iteration and the ID.
type insertion [len(snapshot.IdentityLabels) + 1]string

// appendAlone appends the labels where there are no others, and nothing for none.
func (ins *insertion) appendAlone(b []byte) []byte {
	separator := byte('{')
	for _, text := range ins {
		if text = strings.Trim(text, ","); text != "" {
			b = append(append(b, separator), text...)
			separator = ','
		}
	}
	if separator == ',' {
		b = append(b, '}')
	}
	return b
}

// newInsertion returns the labels, which are sorted by name, as an insertion.
func newInsertion(labels []snapshot.Label) *insertion {
	var ins insertion
	for _, l := range labels {
		place := 0
		for place < len(snapshot.IdentityLabels) && snapshot.IdentityLabels[place] < l.Name {
			place++
		}
		text := string(appendLabel(nil, l.Name, l.Value))
		if place == 0 {
			ins[place] += text + ","
		} else {
			ins[place] += "," + text
		}
	}
	return &ins
}

// setText returns a label set as an insertion.
func setText(s *snapshot.LabelSet) *insertion {
	return schema.Remember(&s.Text, func() *insertion { return newInsertion(s.Pairs) })
}

// seriesText has the fields of a schema's series as insertions, each made when it is first needed. It is safe for concurrent use: who comes
// second to a place that is still empty makes the same text again.
type seriesText struct {
	schema   *schema.Schema
	byMetric []atomic.Pointer[[]atomic.Pointer[insertion]]
}

// seriesOf returns the text of the schema's series.
func seriesOf(s *schema.Schema) *seriesText {
	return schema.Remember(&s.Text, func() *seriesText {
		return &seriesText{s, make([]atomic.Pointer[[]atomic.Pointer[insertion]], len(s.Metrics))}
	})
}

// fields returns the fields of a sample whose metric has some.
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
	ins := newInsertion(fieldLabels(m, s.Series))
	text.Store(ins)
	return ins
}

// fieldLabels returns the fields of a series as labels, sorted by name.
func fieldLabels(m *schema.Metric, series uint32) []snapshot.Label {
	labels := make([]snapshot.Label, 0, len(m.Fields)+1)
	for i, value := range m.Labels(series) {
		labels = append(labels, snapshot.Label{Name: m.Fields[i].Name, Value: value})
	}
	return labels
}

// appendLabel appends a label as text.
func appendLabel(b []byte, name, value string) []byte {
	b = append(b, name...)
	b = append(b, `="`...)
	b = append(b, labelValue.Replace(strings.ToValidUTF8(value, "\uFFFD"))...)
	return append(b, '"')
}

var (
	labelValue = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	helpText   = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
)
