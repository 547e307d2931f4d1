package snapshot

import (
	"slices"
	"strings"

	"github.com/sandmeter/sandmeter/internal/schema"
)

// A Label is a name and a value; the value may be any bytes.
type Label struct{ Name, Value string }

// IdentityLabels are the names of the labels that the series of sandboxes have, in the order of Labels.Values.
var IdentityLabels = [...]string{"iteration", "namespace_name", "pod_name", "runtime_root", "sandbox"}

// Labels are the labels that all series of a source have in common. The zero value is that of the server itself, which has none. They are
// immutable; what formats make of them is made once and kept in Text and Proto.
type Labels struct {
	Iteration   string
	Namespace   string // empty: no such label
	Pod         string // empty: no such label
	RuntimeRoot string // empty: no such label
	Sandbox     string // the ID; empty for the server itself

	Text, Proto schema.Memo
}

// Values returns the values of the labels in the order of IdentityLabels, which is that of their names. Empty ones are left out of a page.
func (l *Labels) Values() [len(IdentityLabels)]string {
	return [...]string{l.Iteration, l.Namespace, l.Pod, l.RuntimeRoot, l.Sandbox}
}

// textSize is about how many bytes the labels have as text.
func (l *Labels) textSize() int {
	size := len("{}")
	for i, v := range l.Values() {
		if v != "" {
			size += len(IdentityLabels[i]) + valueSize(v) + len(`="",`)
		}
	}
	return size
}

// A LabelSet is labels that a sample has besides those of its source. It is immutable; what formats make of it is made once and kept in
// Text and Proto.
type LabelSet struct {
	Pairs []Label // sorted by name; none of a name that the labels of the source have

	Text, Proto schema.Memo
}

// NewLabelSet returns a set of labels with distinct names. The pairs are copied.
func NewLabelSet(pairs ...Label) *LabelSet {
	pairs = slices.Clone(pairs)
	slices.SortFunc(pairs, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	return &LabelSet{Pairs: pairs}
}

func (s *LabelSet) textSize() int {
	size := 0
	for _, p := range s.Pairs {
		size += len(p.Name) + valueSize(p.Value) + len(`="",`)
	}
	return size
}

// valueSize is how many bytes a value has as text, with its escapes.
func valueSize(value string) int {
	size := len(value)
	for i := range len(value) {
		if c := value[i]; c == '"' || c == '\\' || c == '\n' {
			size++
		}
	}
	return size
}

// FreeLabelName reports whether name can be the name of a label in a LabelSet. Names that begin with two underscores are Prometheus's own.
func FreeLabelName(name string) bool {
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != "" && !strings.HasPrefix(name, "__") && !slices.Contains(IdentityLabels[:], name)
}
