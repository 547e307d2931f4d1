package page

import (
	"hash/fnv"
	"slices"
	"strings"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A Selection is what a request wants to see of a snapshot. The zero value is all of it. Equal selections are equal with ==.
type Selection struct {
	Metrics      *Filter // of reported metrics, by their names without prefix; no filter hides the server's own families
	Capabilities *Filter // of capabilities, by their names with or without CAP_

	Names      Values // of families, the server's own included
	Sandboxes  Values // IDs
	Pods       Values
	Namespaces Values
	Shard      Shard
}

// Values are exact texts of which one has to match. The zero value matches everything. Values with the same texts are equal.
type Values string

// valueSeparator stands between two texts, and behind the last. No name and no ID has it.
const valueSeparator = "\x00"

// NewValues returns the Values of the texts, in any order. No texts match everything.
func NewValues(texts []string) Values {
	texts = slices.Compact(slices.Sorted(slices.Values(texts)))
	if len(texts) == 0 {
		return ""
	}
	return Values(strings.Join(texts, valueSeparator) + valueSeparator)
}

// set returns the texts as a set; nil matches everything.
func (v Values) set() set {
	if v == "" {
		return nil
	}
	s := make(set)
	for text := range strings.SplitSeq(strings.TrimSuffix(string(v), valueSeparator), valueSeparator) {
		s[text] = true
	}
	return s
}

type set map[string]bool

func (s set) match(text string) bool { return s == nil || s[text] }

// A Shard is a part of the sandboxes: of Count parts, the one with the number Index, from 0. The zero value is all of them. Each sandbox is in
// one of the parts, by the FNV-1a hash (32 bits) of its ID, and the server's own families are in the first.
type Shard struct{ Index, Count int }

func (s Shard) has(id string) bool {
	if s.Count <= 1 {
		return true
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(id)) // never fails
	return h.Sum32()%uint32(s.Count) == uint32(s.Index)
}

// hasServer reports whether the server's own families are in the shard.
func (s Shard) hasServer() bool { return s.Index == 0 }

// sandboxes returns the sandboxes that the selection wants.
func (want *Selection) sandboxes(all []snapshot.Sandbox) []snapshot.Sandbox {
	if want.Sandboxes == "" && want.Pods == "" && want.Namespaces == "" && want.Shard.Count <= 1 {
		return all
	}
	ids, pods, namespaces := want.Sandboxes.set(), want.Pods.set(), want.Namespaces.set()
	var wanted []snapshot.Sandbox
	for i := range all {
		l := all[i].Labels
		if ids.match(l.Sandbox) && pods.match(l.Pod) && namespaces.match(l.Namespace) && want.Shard.has(l.Sandbox) {
			wanted = append(wanted, all[i])
		}
	}
	return wanted
}
