package snapshot

import (
	"hash/fnv"
	"iter"
	"slices"
	"strings"
)

// A Selector selects sandboxes: those that match all of its fields. The zero value selects every
// sandbox. Equal selectors compare equal with ==.
type Selector struct {
	IDs        Values
	Pods       Values
	Namespaces Values
	Shard      Shard
}

// Values are a set of exact texts. A text matches if it is in the set. The zero value matches
// everything. Values with the same texts are equal.
type Values string

// valueSeparator separates texts, and terminates the last one. No name and no ID contains it.
const valueSeparator = "\x00"

// NewValues returns the Values of the texts, in any order. An empty list matches everything.
func NewValues(texts []string) Values {
	texts = slices.Compact(slices.Sorted(slices.Values(texts)))
	if len(texts) == 0 {
		return ""
	}
	return Values(strings.Join(texts, valueSeparator) + valueSeparator)
}

// texts iterates over the texts.
func (v Values) texts() iter.Seq[string] {
	if v == "" {
		return func(func(string) bool) {}
	}
	return strings.SplitSeq(strings.TrimSuffix(string(v), valueSeparator), valueSeparator)
}

// Set returns the Values in a form that is fast to match.
func (v Values) Set() Set {
	if v == "" {
		return nil
	}
	s := make(Set)
	for text := range v.texts() {
		s[text] = true
	}
	return s
}

// covers reports whether v matches everything that other matches.
func (v Values) covers(other Values) bool {
	if v == "" || v == other {
		return true
	}
	set := v.Set()
	for text := range other.texts() {
		if !set.Match(text) {
			return false
		}
	}
	return other != ""
}

// A Set is a set of texts. Nil matches everything.
type Set map[string]bool

// Match reports whether a text matches.
func (s Set) Match(text string) bool { return s == nil || s[text] }

// A Shard is one of Count parts of the sandboxes, with the number Index, starting at 0. The zero
// value contains all sandboxes. Each sandbox is in exactly one shard, by the 32-bit FNV-1a hash of
// its ID.
type Shard struct{ Index, Count int }

func (s Shard) whole() bool { return s.Count <= 1 }

func (s Shard) has(id string) bool {
	if s.whole() {
		return true
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	return h.Sum32()%uint32(s.Count) == uint32(s.Index)
}

// everything reports whether the selector selects every sandbox.
func (s Selector) everything() bool {
	return s.IDs == "" && s.Pods == "" && s.Namespaces == "" && s.Shard.whole()
}

// covers reports whether s selects every sandbox that other selects. It is false where that depends
// on the sandboxes that exist.
func (s Selector) covers(other Selector) bool {
	return s.IDs.covers(other.IDs) && s.Pods.covers(other.Pods) && s.Namespaces.covers(other.Namespaces) &&
		(s.Shard.whole() || s.Shard == other.Shard)
}

// Matcher returns a function that reports whether the selector selects the sandbox with the labels.
func (s Selector) Matcher() func(*Labels) bool {
	ids, pods, namespaces := s.IDs.Set(), s.Pods.Set(), s.Namespaces.Set()
	return func(l *Labels) bool {
		return ids.Match(l.Sandbox) && pods.Match(l.Pod) && namespaces.Match(l.Namespace) && s.Shard.has(l.Sandbox)
	}
}

// A Union selects the sandboxes that any of its selectors selects. The empty union, which is the
// zero value, selects every sandbox.
type Union []Selector

// Limits of a union. Each of its selectors is compared with each sandbox, and snapshots keep it.
const (
	maxUnion     = 64        // selectors
	maxUnionText = 128 << 10 // bytes of texts: about 2,000 IDs of 64 characters
)

// Unite returns the union of selectors, with one selector for all that only differ in their IDs. It
// selects every sandbox if one of the selectors does, if there are none, or if the union would
// exceed a limit.
func Unite(selectors []Selector) Union {
	var union Union
	var ids [][]string // of each selector of the union; nil: any
	place := make(map[Selector]int)
	size := 0
	for _, s := range selectors {
		if size += len(s.IDs) + len(s.Pods) + len(s.Namespaces); s.everything() || size > maxUnionText {
			return nil
		}
		rest := s
		rest.IDs = ""
		at, known := place[rest]
		if !known {
			at, place[rest] = len(union), len(union)
			union, ids = append(union, rest), append(ids, []string{})
		}
		if s.IDs == "" {
			ids[at] = nil
		} else if ids[at] != nil {
			ids[at] = slices.AppendSeq(ids[at], s.IDs.texts())
		}
	}
	if len(union) > maxUnion {
		return nil
	}
	for i := range union {
		union[i].IDs = NewValues(ids[i])
	}
	return union
}

// Everything reports whether the union selects every sandbox.
func (u Union) Everything() bool { return len(u) == 0 }

// Covers reports whether u selects every sandbox that other selects. It is false where that depends
// on the sandboxes that exist.
func (u Union) Covers(other Union) bool {
	if u.Everything() {
		return true
	}
	for _, o := range other {
		if !slices.ContainsFunc(u, func(s Selector) bool { return s.covers(o) }) {
			return false
		}
	}
	return !other.Everything()
}

// Matcher returns a function that reports whether the union selects the sandbox with the labels.
func (u Union) Matcher() func(*Labels) bool {
	if u.Everything() {
		return func(*Labels) bool { return true }
	}
	var matchers []func(*Labels) bool
	for _, s := range u {
		matchers = append(matchers, s.Matcher())
	}
	return func(l *Labels) bool {
		return slices.ContainsFunc(matchers, func(matches func(*Labels) bool) bool { return matches(l) })
	}
}

// Select returns the sandboxes that the union selects, in their order. The result may be all itself.
func (u Union) Select(all []Sandbox) []Sandbox {
	if u.Everything() {
		return all
	}
	matches := u.Matcher()
	var selected []Sandbox
	for i := range all {
		if matches(all[i].Labels) {
			selected = append(selected, all[i])
		}
	}
	return selected
}
