package collect

import (
	"errors"
	"fmt"

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

// errTexts is the failure of a sandbox whose state files have more or longer texts than that: they would be on each of its lines.
var errTexts = errors.New("texts of its state files are no labels")

// checkTexts returns an error that wraps errTexts and names the limit that the sandbox's texts exceed, or nil.
func checkTexts(facts *state.Sandbox) error {
	r := &facts.Root.Sandbox
	if n := len(r.Metadata); n > maxMetadata {
		return fmt.Errorf("%w: %d pieces of metadata, more than %d", errTexts, n, maxMetadata)
	}
	spec := unite(facts)
	if n := len(spec.Capabilities); n > maxCaps {
		return fmt.Errorf("%w: %d capabilities, more than %d", errTexts, n, maxCaps)
	}
	for _, t := range []state.Pair{{Name: "the pod's name", Value: r.PodName}, {Name: "the namespace", Value: r.Namespace}} {
		if len(t.Value) > maxName {
			return tooLong(t, maxName)
		}
	}
	texts := []state.Pair{{Name: "the OCI version", Value: spec.OCIVersion}}
	for _, p := range r.Metadata {
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

func tooLong(text state.Pair, limit int) error {
	return fmt.Errorf("%w: %s has %d bytes, more than %d", errTexts, text.Name, len(text.Value), limit)
}
