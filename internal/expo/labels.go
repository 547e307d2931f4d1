package expo

import (
	"slices"
	"strings"
)

// A Label is a name and a value; the value may be any bytes.
type Label struct{ Name, Value string }

// The labels that every series of a sandbox carries, in their order. The ones in the middle may be absent.
const (
	LabelIteration = "iteration"
	LabelNamespace = "namespace_name"
	LabelPod       = "pod_name"
	LabelSandbox   = "sandbox"
)

var sandboxLabels = [...]string{LabelIteration, LabelNamespace, LabelPod, LabelSandbox}

// Labels are those of a sandbox, rendered once.
type Labels struct {
	pieces [len(sandboxLabels)]string // the first without a comma before it
	block  string                     // all of them, with braces
}

// NewLabels renders the labels of a sandbox. An empty namespace or pod is left out.
func NewLabels(iteration, namespace, pod, sandbox string) *Labels {
	l := new(Labels)
	for i, value := range [...]string{iteration, namespace, pod, sandbox} {
		if value == "" && (sandboxLabels[i] == LabelNamespace || sandboxLabels[i] == LabelPod) {
			continue
		}
		if i > 0 {
			l.pieces[i] = ","
		}
		l.pieces[i] += string(appendLabel(nil, Label{sandboxLabels[i], value}))
	}
	l.block = string(l.appendBlock(nil, &insertion{}))
	return l
}

// Block renders the sandbox's labels and extra ones, whose names are distinct and none of the sandbox's, all sorted by name.
func (l *Labels) Block(extra ...Label) string {
	if len(extra) == 0 {
		return l.block
	}
	return string(l.appendBlock(nil, newInsertion(extra)))
}

// An insertion is other labels rendered for their places before, between and behind those of a sandbox, so that all are sorted.
type insertion [len(sandboxLabels) + 1]string

func newInsertion(extra []Label) *insertion {
	extra = slices.Clone(extra)
	slices.SortFunc(extra, func(a, b Label) int { return strings.Compare(a.Name, b.Name) })
	var ins insertion
	for _, x := range extra {
		place := 0
		for place < len(sandboxLabels) && sandboxLabels[place] < x.Name {
			place++
		}
		text := string(appendLabel(nil, x))
		if place == 0 {
			ins[place] += text + ","
		} else {
			ins[place] += "," + text
		}
	}
	return &ins
}

func (l *Labels) appendBlock(b []byte, ins *insertion) []byte {
	b = append(b, '{')
	b = append(b, ins[0]...)
	for i := range l.pieces {
		b = append(b, l.pieces[i]...)
		b = append(b, ins[i+1]...)
	}
	return append(b, '}')
}

// appendLabel renders a label.
func appendLabel(b []byte, l Label) []byte {
	b = append(b, l.Name...)
	b = append(b, `="`...)
	b = append(b, labelValue.Replace(strings.ToValidUTF8(l.Value, "\uFFFD"))...)
	return append(b, '"')
}

var (
	labelValue = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`)
	helpText   = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
)

// FreeLabelName reports whether name can be a label's beside those that every series of a sandbox carries. Names that begin with two
// underscores are Prometheus's own.
func FreeLabelName(name string) bool {
	for i, c := range []byte(name) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return name != "" && !strings.HasPrefix(name, "__") && !slices.Contains(sandboxLabels[:], name)
}
