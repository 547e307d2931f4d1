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
// or nil. united is of all its containers.
func checkTexts(facts *state.Sandbox, united *state.Spec) *failure.Failure {
	if n := len(facts.Metadata); n > maxMetadata {
		return tooMany("%d metadata entries exceed the limit of %d", n, maxMetadata)
	}
	if n := len(united.Capabilities); n > maxCaps {
		return tooMany("%d capabilities exceed the limit of %d", n, maxCaps)
	}
	f := cmp.Or(
		checkText("the pod name", facts.PodName, maxName),
		checkText("the namespace", facts.Namespace, maxName),
		checkText("the OCI version", united.OCIVersion, maxText))
	for _, p := range facts.Metadata {
		f = cmp.Or(f, checkText("a metadata name", p.Name, maxText), checkText("a metadata value", p.Value, maxText))
	}
	for _, name := range united.Capabilities {
		f = cmp.Or(f, checkText("a capability", name, maxText))
	}
	return f
}

func checkText(name, text string, limit int) *failure.Failure {
	if len(text) <= limit {
		return nil
	}
	return tooMany("%s has %d bytes; the limit is %d", name, len(text), limit)
}

func tooMany(format string, args ...any) *failure.Failure {
	return failure.Newf(failure.TextsRefused, "texts of the state files are too large for labels: "+format, args...)
}
