package schema

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
)

// A Drop is a set of names of labels that pages leave out. Nil leaves out none. It is immutable.
type Drop struct {
	names []string
	key   string // equal for equal sets
}

// keptLabels are the labels without which the series of two sandboxes, or two buckets, are equal.
var keptLabels = []string{"sandbox", "iteration", "runtime_root", "le"}

// NewDrop returns the Drop of the names, which is nil if there are none.
func NewDrop(names []string) (*Drop, error) {
	for _, name := range names {
		switch {
		case slices.Contains(keptLabels, name):
			return nil, fmt.Errorf("label %s cannot be dropped: without it, different series are equal", name)
		case !validLabel.MatchString(name) || strings.HasPrefix(name, "__"):
			return nil, fmt.Errorf("label %q cannot be dropped: give the name of a label, such as pod_name", name)
		}
	}
	if len(names) == 0 {
		return nil, nil
	}
	names = slices.Compact(slices.Sorted(slices.Values(names)))
	return &Drop{names, strings.Join(names, ",")}, nil
}

// Has reports whether the label is left out.
func (d *Drop) Has(name string) bool { return d != nil && slices.Contains(d.names, name) }

// A DropMemo caches what an immutable value becomes without the labels of a Drop, for each Drop: a
// process has as many as it has servers. It is freed with the value. The zero value is empty. It is
// safe for concurrent use.
type DropMemo[T any] struct{ last atomic.Pointer[dropped[T]] }

type dropped[T any] struct {
	key      string
	value    *T
	previous *dropped[T]
}

// Of returns the cached value, and calls make if there is none. If two goroutines call it at the
// same time, both may call make and get different values.
func (memo *DropMemo[T]) Of(d *Drop, make func() *T) *T {
	last := memo.last.Load()
	for known := last; known != nil; known = known.previous {
		if known.key == d.key {
			return known.value
		}
	}
	made := &dropped[T]{d.key, make(), last}
	memo.last.CompareAndSwap(last, made) // if it fails, the next call makes it again
	return made.value
}

// Without returns the schema without the fields that d has. It has the same metrics, with the same
// indexes. It is s itself if no metric has such a field.
func (s *Schema) Without(d *Drop) *Schema {
	if d == nil {
		return s
	}
	return s.dropped.Of(d, func() *Schema { return s.without(d) })
}

func (s *Schema) without(d *Drop) *Schema {
	if !slices.ContainsFunc(s.Metrics, func(m Metric) bool { return m.hasField(d) }) {
		return s
	}
	reduced := &Schema{Metrics: slices.Clone(s.Metrics)}
	for i := range reduced.Metrics {
		m := &reduced.Metrics[i]
		m.Fields = slices.DeleteFunc(slices.Clone(m.Fields), func(f Field) bool { return d.Has(f.Name) })
	}
	if err := reduced.finish(); err != nil { // cannot happen: it has no more series than s
		panic(err)
	}
	reduced.countZeros()
	return reduced
}

func (m *Metric) hasField(d *Drop) bool {
	return slices.ContainsFunc(m.Fields, func(f Field) bool { return d.Has(f.Name) })
}

// SeriesIn returns the number of the series of reduced, which has some of the fields of m, to which
// a series of m belongs.
func (m *Metric) SeriesIn(reduced *Metric, series uint32) uint32 {
	number, rest, kept := reduced.First, series-m.First, 0
	for i := range m.Fields {
		f := &m.Fields[i]
		if kept < len(reduced.Fields) && reduced.Fields[kept].Name == f.Name {
			number += rest / f.Stride * reduced.Fields[kept].Stride
			kept++
		}
		rest %= f.Stride
	}
	return number
}
