package snapshot

import (
	"regexp"
	"slices"
	"strings"

	"github.com/sandmeter/sandmeter/internal/schema"
)

// A Label is a name and a value; the value may be any bytes.
type Label struct{ Name, Value string }

// IdentityLabels are the names of the labels that identify a sandbox, in the order of
// Labels.Values.
var IdentityLabels = [...]string{"iteration", "namespace_name", "pod_name", "runtime_root", "sandbox"}

// Labels are the labels that all series of a source have in common. The zero value has no labels
// and is for the server itself. Labels are immutable; Text and Proto cache their rendered form.
type Labels struct {
	Iteration   string
	Namespace   string // empty: no such label
	Pod         string // empty: no such label
	RuntimeRoot string // empty: no such label
	Sandbox     string // the ID; empty for the server itself

	Text, Proto schema.Memo
}

// Values returns the values of the labels in the order of IdentityLabels, which are sorted by name.
// Pages leave out labels with empty values.
func (l *Labels) Values() [len(IdentityLabels)]string {
	return [...]string{l.Iteration, l.Namespace, l.Pod, l.RuntimeRoot, l.Sandbox}
}

// textSize returns the approximate number of bytes of the labels as text.
func (l *Labels) textSize() int {
	size := len("{}")
	for i, v := range l.Values() {
		if v != "" {
			size += len(IdentityLabels[i]) + valueSize(v) + len(`="",`)
		}
	}
	return size
}

// A LabelSet is a set of labels that one sample has in addition to those of its source. It is
// immutable; Text and Proto cache its rendered form.
type LabelSet struct {
	Pairs []Label // sorted by name; no name is also a label of the source

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

// valueSize returns the number of bytes of a value as text, with its escapes.
func valueSize(value string) int {
	return len(value) + strings.Count(value, `"`) + strings.Count(value, `\`) + strings.Count(value, "\n")
}

var labelName = regexp.MustCompile("^[a-zA-Z_][a-zA-Z0-9_]*$")

// FreeLabelName reports whether name is valid as the name of a label in a LabelSet. Names that
// begin with two underscores are reserved for Prometheus.
func FreeLabelName(name string) bool {
	return labelName.MatchString(name) && !strings.HasPrefix(name, "__") && !slices.Contains(IdentityLabels[:], name)
}
