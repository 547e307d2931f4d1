package page

import (
	"hash/fnv"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A Selection is the part of a snapshot that a request selects. The zero value selects everything.
// Equal selections compare equal with ==.
type Selection struct {
	// Metrics filters reported metrics by name without prefix. It never hides the server's own
	// families.
	Metrics      *Filter
	Capabilities *Filter // of capabilities, by name with or without CAP_

	Names      Values // of families, including the server's own
	Sandboxes  Values // IDs
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

// set returns the texts as a set, or nil, which matches everything.
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

// A Shard is one of Count parts of the sandboxes, with the number Index, starting at 0. The zero
// value contains all sandboxes. Each sandbox is in exactly one shard, by the 32-bit FNV-1a hash of
// its ID. The server's own families are in the first shard.
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

// families returns the families that match the selection.
func (want *Selection) families(all []*dto.MetricFamily) []*dto.MetricFamily {
	if want.Names == "" {
		return all
	}
	names := want.Names.set()
	return slices.DeleteFunc(slices.Clone(all), func(f *dto.MetricFamily) bool { return !names.match(f.GetName()) })
}

// sandboxes returns the sandboxes that match the selection.
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
