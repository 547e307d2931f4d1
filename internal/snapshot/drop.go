package snapshot

import (
	"slices"

	"github.com/sandmeter/sandmeter/internal/schema"
)

// Without returns the labels without those of d that can be dropped, the names of the pod and the
// namespace. The result is l itself if it has neither, and is cached otherwise.
func (l *Labels) Without(d *schema.Drop) *Labels {
	dropsPod, dropsNamespace := l.Pod != "" && d.Has("pod_name"), l.Namespace != "" && d.Has("namespace_name")
	if !dropsPod && !dropsNamespace {
		return l
	}
	return l.dropped.Of(d, func() *Labels {
		reduced := &Labels{Iteration: l.Iteration, RuntimeRoot: l.RuntimeRoot, Sandbox: l.Sandbox}
		if !dropsPod {
			reduced.Pod = l.Pod
		}
		if !dropsNamespace {
			reduced.Namespace = l.Namespace
		}
		return reduced
	})
}

// Without returns the set without the labels that d has. The result is s itself if it has none of
// them, and is cached otherwise.
func (s *LabelSet) Without(d *schema.Drop) *LabelSet {
	drops := func(l Label) bool { return d.Has(l.Name) }
	if !slices.ContainsFunc(s.Pairs, drops) {
		return s
	}
	return s.dropped.Of(d, func() *LabelSet {
		return &LabelSet{Pairs: slices.DeleteFunc(slices.Clone(s.Pairs), drops)}
	})
}
