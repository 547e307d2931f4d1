package state

import (
	"bytes"
	"hash/maphash"
	"slices"

	"github.com/sandmeter/sandmeter/internal/jscan"
)

// recentMax is how many registrations are tried metric for metric before one is taken apart. Nearly every node has one runsc release,
// or two while it is being upgraded.
const recentMax = 4

// registrations makes equal registrations one pointer, so that a node keeps 50 KB for all sandboxes of a runsc release. Equal are those
// with the same metrics in any order: runsc lists them in the order of a Go map, which is another one in each sandbox.
type registrations struct {
	seed   maphash.Seed
	byHash map[uint64][]*Registration
	recent []*shape // most recent first
}

func newRegistrations() *registrations {
	return &registrations{seed: maphash.MakeSeed(), byHash: make(map[uint64][]*Registration)}
}

// intern reads the registration that s is before.
func (r *registrations) intern(s *jscan.Scanner) *Registration {
	s.Kind() // moves to the value's first byte
	rest := s.Rest()
	for _, known := range r.recent {
		if n := known.prefixOf(rest); n > 0 {
			s.Advance(n)
			return known.registration
		}
	}
	raw := rawValue(s)
	if s.Err() != nil {
		return nil
	}
	head, metrics, tail := split(raw)
	slices.SortFunc(metrics, bytes.Compare)
	return r.lookup(slices.Concat(head, bytes.Join(metrics, []byte(",")), tail), head, metrics, tail)
}

// lookup returns the registration whose canonical form, with its metrics sorted, is given whole and in parts.
func (r *registrations) lookup(canonical, head []byte, metrics [][]byte, tail []byte) *Registration {
	hash := maphash.Bytes(r.seed, canonical)
	for _, known := range r.byHash[hash] {
		if bytes.Equal(known.JSON, canonical) {
			return known
		}
	}
	reg := &Registration{canonical}
	r.byHash[hash] = append(r.byHash[hash], reg)
	if known := newShape(reg, head, metrics, tail); known != nil {
		r.recent = slices.Insert(r.recent[:min(len(r.recent), recentMax-1)], 0, known)
	}
	return reg
}

// keepOnly forgets all registrations but those in use.
func (r *registrations) keepOnly(used map[*Registration]bool) {
	for hash, list := range r.byHash {
		if list = slices.DeleteFunc(list, func(reg *Registration) bool { return !used[reg] }); len(list) == 0 {
			delete(r.byHash, hash)
		} else {
			r.byHash[hash] = list
		}
	}
	r.recent = slices.DeleteFunc(r.recent, func(known *shape) bool { return !used[known.registration] })
}

// split takes a registration apart around its list of metrics. One that is not formed as expected is all head.
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

// A shape is a registration in parts, for recognising it at the speed of comparing bytes, whatever the order of its metrics.
type shape struct {
	registration *Registration
	head, tail   []byte
	metrics      map[string]*metricShape // by what they begin with, up to the end of the name
	round        uint                    // of prefixOf
}

type metricShape struct {
	text []byte
	seen uint // the round in which it was last met
}

// metricHead is how runsc begins a metric. Its name follows.
const metricHead = `{"name":"`

// newShape returns the shape of a registration, or nil if runsc would not write it so.
func newShape(reg *Registration, head []byte, metrics [][]byte, tail []byte) *shape {
	if metrics == nil {
		return nil // a number, for one, can be the beginning of another
	}
	s := &shape{registration: reg, head: bytes.Clone(head), tail: bytes.Clone(tail), metrics: make(map[string]*metricShape, len(metrics))}
	for _, m := range metrics {
		name := nameOf(m)
		if name == nil || s.metrics[string(name)] != nil {
			return nil
		}
		s.metrics[string(name)] = &metricShape{text: bytes.Clone(m)}
	}
	return s
}

// nameOf returns what a metric begins with, up to the end of its name, or nil.
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

// prefixOf returns the length of the registration at the beginning of data if it is this one, else 0. Each metric of this one has to be
// there once, and nothing else.
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
		// No metric's text is the beginning of another value: it is an object to its last brace.
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
