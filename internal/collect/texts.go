package collect

import (
	"cmp"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/state"
)

// Limits for texts of state files that become labels. Kubernetes allows names of 253 bytes, runsc
// writes 10 metadata entries, and Linux has 41 capabilities.
const (
	maxName     = 253     // bytes of a text that is on each line of the sandbox
	maxPath     = 1 << 10 // bytes of the path of a cgroup or the name of an image; longer ones count as none
	maxText     = 4 << 10 // bytes of a text that is on one line
	maxMetadata = 64      // entries
	maxCaps     = 256
)

// labelText returns the text, or none if it is too long for a label.
func labelText(text string, limit int) string {
	if len(text) > limit {
		return ""
	}
	return text
}

// containerName returns the name that Kubernetes has for the container, or its ID. A name that is
// too long for a label counts as none.
func containerName(c *state.Container) string {
	return cmp.Or(labelText(c.Spec.ContainerName, maxName), c.ID)
}

// checkTexts returns a failure with the limit that the texts of the sandbox's state files exceed,
// or nil.
func checkTexts(facts *state.Sandbox) *failure.Failure {
	if n := len(facts.Metadata); n > maxMetadata {
		return tooMany("%d metadata entries exceed the limit of %d", n, maxMetadata)
	}
	spec := unite(facts)
	if n := len(spec.Capabilities); n > maxCaps {
		return tooMany("%d capabilities exceed the limit of %d", n, maxCaps)
	}
	for _, t := range []state.Pair{{Name: "the pod name", Value: facts.PodName}, {Name: "the namespace", Value: facts.Namespace}} {
		if len(t.Value) > maxName {
			return tooLong(t, maxName)
		}
	}
	texts := []state.Pair{{Name: "the OCI version", Value: spec.OCIVersion}}
	for _, p := range facts.Metadata {
		texts = append(texts, state.Pair{Name: "a metadata name", Value: p.Name}, state.Pair{Name: "a metadata value", Value: p.Value})
	}
	for _, name := range spec.Capabilities {
		texts = append(texts, state.Pair{Name: "a capability", Value: name})
	}
	for _, t := range texts {
		if len(t.Value) > maxText {
			return tooLong(t, maxText)
		}
	}
	return nil
}

func tooLong(text state.Pair, limit int) *failure.Failure {
	return tooMany("%s has %d bytes; the limit is %d", text.Name, len(text.Value), limit)
}

func tooMany(format string, args ...any) *failure.Failure {
	return failure.Newf(failure.TextsRefused, "texts of the state files are too large for labels: "+format, args...)
}
