package collect

import (
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/state"
)

// Limits of the texts that state files make labels of. Kubernetes allows names of 253 bytes, runsc writes 10 pieces of metadata, and Linux
// has 41 capabilities.
const (
	maxName     = 253     // bytes of what stands on each of the sandbox's lines
	maxText     = 4 << 10 // bytes of what stands on one
	maxMetadata = 64      // pieces
	maxCaps     = 256
)

// checkTexts returns the failure of a sandbox whose state files have more or longer texts than that, which would be on each of its lines: it
// names the limit.
func checkTexts(facts *state.Sandbox) *failure.Failure {
	if n := len(facts.Metadata); n > maxMetadata {
		return tooMany("%d pieces of metadata, more than %d", n, maxMetadata)
	}
	spec := unite(facts)
	if n := len(spec.Capabilities); n > maxCaps {
		return tooMany("%d capabilities, more than %d", n, maxCaps)
	}
	for _, t := range []state.Pair{{Name: "the pod's name", Value: facts.PodName}, {Name: "the namespace", Value: facts.Namespace}} {
		if len(t.Value) > maxName {
			return tooLong(t, maxName)
		}
	}
	texts := []state.Pair{{Name: "the OCI version", Value: spec.OCIVersion}}
	for _, p := range facts.Metadata {
		texts = append(texts, state.Pair{Name: "a name of metadata", Value: p.Name}, state.Pair{Name: "a piece of metadata", Value: p.Value})
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
	return tooMany("%s has %d bytes, more than %d", text.Name, len(text.Value), limit)
}

func tooMany(format string, args ...any) *failure.Failure {
	return failure.Newf(failure.TextsRefused, "texts of its state files are no labels: "+format, args...)
}
