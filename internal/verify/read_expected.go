package verify

import (
	"bytes"

	"github.com/sandmeter/sandmeter/internal/jscan"
)

// The parts of a reply in the form in which runsc encodes it.
const (
	replyHead  = `{"success":true,"err":"","result":{"snapshot":{"when":"`
	dataHead   = `","data":[`
	pointHead  = `{"metric":{"name":"`
	labelsHead = `,"labels":{`
	valueHead  = `,"val":{`
	intHead    = `"int":`
)

// readExpected reads a reply that has exactly the form in which runsc encodes it and breaks no
// rule, in one pass and without allocating. It returns false for everything else, and then read
// decides. It accepts only what read accepts, with the same values; a fuzz test compares the two.
func (v *Verifier) readExpected(data []byte) bool {
	r := expected{data: data}
	if !r.literal(replyHead) {
		return false
	}
	when, ok := r.until('"')
	if !ok || v.when.UnmarshalText(when) != nil {
		return false
	}
	if string(r.data) == `"}}}` {
		return true
	}
	if !r.literal(dataHead) {
		return false
	}
	for {
		if !v.readPoint(&r) {
			return false
		}
		if r.literal(",") {
			continue
		}
		return string(r.data) == `]}}}`
	}
}

func (v *Verifier) readPoint(r *expected) bool {
	if !r.literal(pointHead) {
		return false
	}
	name, ok := r.until('"')
	metric := v.schema.Find(name)
	if !ok || metric < 0 {
		return false
	}
	m := &v.schema.Metrics[metric]
	if !bytes.HasPrefix(r.data, m.Definition) || m.Bounds != nil {
		return false
	}
	r.data = r.data[len(m.Definition):]
	series := m.First
	for i := range m.Fields {
		f := &m.Fields[i]
		if i == 0 && !r.literal(labelsHead) || i > 0 && !r.literal(",") {
			return false
		}
		if !r.literal(`"`) || !r.literal(f.Name) || !r.literal(`":"`) {
			return false
		}
		value, ok := r.until('"')
		offset, allowed := f.Offset(value)
		if !ok || !allowed || !f.Plain {
			return false
		}
		series += offset
		r.data = r.data[1:]
	}
	if len(m.Fields) > 0 && !r.literal("}") || !r.literal(valueHead) {
		return false
	}
	var number int64
	if r.literal(intHead) {
		text, _ := r.until('}')
		if number, ok = jscan.ParseInt(text); !ok {
			return false
		}
	}
	return r.literal("}}") && v.put(metric, series, number) == nil
}

// expected is the rest of a reply in the expected form.
type expected struct{ data []byte }

// literal consumes text if the rest begins with it.
func (r *expected) literal(text string) bool {
	if len(r.data) < len(text) || string(r.data[:len(text)]) != text {
		return false
	}
	r.data = r.data[len(text):]
	return true
}

// until consumes the bytes before the next c, but not c.
func (r *expected) until(c byte) (text []byte, ok bool) {
	end := bytes.IndexByte(r.data, c)
	if end < 0 {
		return nil, false
	}
	text, r.data = r.data[:end], r.data[end:]
	return text, true
}
