package state

import (
	"bytes"
	"slices"

	"github.com/sandmeter/sandmeter/internal/jscan"
)

// maxKnown is how many registrations are known. Most nodes have one runsc release, or two during an
// upgrade. The files of others are parsed as a whole, and share nothing.
const maxKnown = 16

// registrations are the known ones, the latest first. Equal registrations get the same pointer, so
// that all sandboxes of a runsc release share 50 KB. They are equal if they have the same metrics in any
// order: runsc writes them in the order of a Go map, which differs from sandbox to sandbox.
type registrations []*shape

// intern reads the registration that is the scanner's next value.
func (r *registrations) intern(s *jscan.Scanner) *Registration {
	s.Kind() // moves to the value's first byte
	rest := s.Rest()
	for _, known := range *r {
		if n := known.prefixOf(rest); n > 0 {
			s.Advance(n)
			return known.registration
		}
	}
	raw := rawValue(s)
	if s.Err() != nil {
		return nil
	}
	reg := NewRegistration(raw)
	for _, known := range *r { // another encoder may have written it
		if bytes.Equal(known.registration.JSON, reg.JSON) {
			return known.registration
		}
	}
	if known := newShape(reg); known != nil {
		*r = slices.Insert((*r)[:min(len(*r), maxKnown-1)], 0, known)
	}
	return reg
}

// NewRegistration returns a registration, given its JSON, of which it keeps nothing.
func NewRegistration(raw []byte) *Registration {
	head, metrics, tail := split(raw)
	slices.SortFunc(metrics, bytes.Compare)
	return &Registration{JSON: slices.Concat(head, bytes.Join(metrics, []byte(",")), tail)}
}

// split splits a registration before and after its list of metrics. If it has an unexpected form,
// head is the whole registration.
func split(raw []byte) (head []byte, metrics [][]byte, tail []byte) {
	s := jscan.New(raw)
	for s.Object(); s.More(); {
		if string(s.Key()) != "metrics" || s.Kind() != '[' {
			s.Skip()
			continue
		}
		if metrics != nil {
			return raw, nil, nil
		}
		metrics = [][]byte{}
		s.Array()
		head = raw[:s.Offset()]
		for s.More() {
			metrics = append(metrics, rawValue(&s))
		}
		tail = raw[s.Offset()-len("]"):]
	}
	if s.End() != nil || metrics == nil {
		return raw, nil, nil
	}
	return head, metrics, tail
}

// A shape is a registration split into parts, to recognize it by comparing bytes, with its metrics
// in any order.
type shape struct {
	registration *Registration
	head, tail   []byte
	metrics      map[string]*metricShape // by nameOf
	round        uint                    // number of calls of prefixOf
}

type metricShape struct {
	text []byte
	seen uint // the last round that found it
}

// metricHead is the beginning of a metric in runsc's encoding, before its name.
const metricHead = `{"name":"`

// newShape returns the shape of a registration, or nil if it has not the form of runsc's encoding.
func newShape(reg *Registration) *shape {
	head, metrics, tail := split(reg.JSON)
	if metrics == nil {
		return nil // not an object: a number, for example, can be a prefix of another number
	}
	s := &shape{registration: reg, head: head, tail: tail, metrics: make(map[string]*metricShape, len(metrics))}
	for _, m := range metrics {
		name := nameOf(m)
		if name == nil || s.metrics[string(name)] != nil {
			return nil
		}
		s.metrics[string(name)] = &metricShape{text: m}
	}
	return s
}

// nameOf returns the beginning of a metric up to the end of its name, or nil.
func nameOf(metric []byte) []byte {
	if !bytes.HasPrefix(metric, []byte(metricHead)) {
		return nil
	}
	end := bytes.IndexByte(metric[len(metricHead):], '"')
	if end < 0 {
		return nil
	}
	return metric[:len(metricHead)+end]
}

// prefixOf returns the length of the registration at the beginning of data if it equals s, else 0.
// It is equal if it has each metric of s once, and no other.
func (s *shape) prefixOf(data []byte) int {
	if !bytes.HasPrefix(data, s.head) {
		return 0
	}
	s.round++
	rest := data[len(s.head):]
	for i := range len(s.metrics) {
		if i > 0 {
			if len(rest) == 0 || rest[0] != ',' {
				return 0
			}
			rest = rest[1:]
		}
		m := s.metrics[string(nameOf(rest))]
		// A prefix match is enough: a metric is an object up to its closing brace, so its text is
		// never a prefix of another value.
		if m == nil || m.seen == s.round || !bytes.HasPrefix(rest, m.text) {
			return 0
		}
		m.seen = s.round
		rest = rest[len(m.text):]
	}
	if !bytes.HasPrefix(rest, s.tail) {
		return 0
	}
	return len(data) - len(rest) + len(s.tail)
}
