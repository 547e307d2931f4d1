package collect

import (
	"slices"
	"strings"

	"github.com/sandmeter/sandmeter/internal/claims"
	"github.com/sandmeter/sandmeter/internal/registration"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
)

// identify returns the sandbox's identity, without the texts that checkTexts checks.
func identify(facts *state.Sandbox, h *home) *snapshot.Identity {
	id := &snapshot.Identity{
		Labels:    &snapshot.Labels{Iteration: state.Iteration(facts.ID, facts.CreatedAt), RuntimeRoot: h.label, Sandbox: facts.ID},
		Root:      h.path,
		CreatedAt: facts.CreatedAt,
		Status:    facts.Status,

		Release: labelText(releaseOf(facts.Metadata).Version, maxName),
	}
	for _, c := range facts.Containers {
		id.Containers = append(id.Containers, identifyContainer(c))
	}
	id.PodCgroup = labelText(facts.Containers[0].Spec.PodCgroup(), maxPath)
	return id
}

// describe returns the description of the sandbox by its state files, whose specs are united.
func describe(facts *state.Sandbox, united *state.Spec) *snapshot.Spec {
	spec := &snapshot.Spec{Capabilities: united.Capabilities, OCIVersion: united.OCIVersion, RunsAsUID0: united.RunsAsUID0,
		NVProxy: united.NVProxy, TPUProxy: united.TPUProxy}
	spec.Metadata = slices.Grow(spec.Metadata, len(facts.Metadata))
	for _, p := range facts.Metadata {
		spec.Metadata = append(spec.Metadata, snapshot.Pair(p))
	}
	return spec
}

// deletedFrom returns the containers of an identity that have been deleted if the state files are these.
// containerd deletes the containers of a pod before the pod's sandbox ends, so the others may be all of them.
func deletedFrom(id *snapshot.Identity, facts *state.Sandbox) (deleted []snapshot.Container) {
	if id == nil {
		return nil
	}
	for _, c := range slices.Concat(id.Deleted, id.Containers) {
		if !slices.ContainsFunc(facts.Containers, func(there *state.Container) bool { return there.ID == c.ID }) {
			deleted = append(deleted, c)
		}
	}
	return deleted[max(0, len(deleted)-claims.MaxGone):]
}

// identifyContainer returns the identity of a container, from its state file.
func identifyContainer(c *state.Container) snapshot.Container {
	return snapshot.Container{
		ID:          c.ID,
		Status:      c.Status,
		Name:        labelText(c.Spec.ContainerName, maxName),
		Image:       labelText(c.Spec.Image, maxPath),
		CreatedAt:   c.CreatedAt,
		Pause:       c.Spec.Pause,
		Cgroup:      labelText(c.Spec.Cgroup(), maxPath),
		CPUQuota:    c.Spec.CPUQuota,
		CPUPeriod:   c.Spec.CPUPeriod,
		CPUShares:   c.Spec.CPUShares,
		CPULimit:    c.Spec.CPULimit,
		MemoryLimit: c.Spec.MemoryLimit,
	}
}

// versionInconsistent is the OCI version of a sandbox whose containers have different versions.
const versionInconsistent = "INCONSISTENT"

// unite merges the specs of all containers of the sandbox. Capabilities lose the prefix CAP_.
func unite(facts *state.Sandbox) state.Spec {
	var united state.Spec
	for i, c := range facts.Containers {
		spec := &c.Spec
		united.RunsAsUID0 = united.RunsAsUID0 || spec.RunsAsUID0
		united.NVProxy = united.NVProxy || spec.NVProxy
		united.TPUProxy = united.TPUProxy || spec.TPUProxy
		united.Capabilities = slices.Grow(united.Capabilities, len(spec.Capabilities))
		for _, name := range spec.Capabilities {
			united.Capabilities = append(united.Capabilities, strings.TrimPrefix(name, "CAP_"))
		}
		switch {
		case i == 0:
			united.OCIVersion = spec.OCIVersion // which may be empty
		case united.OCIVersion != spec.OCIVersion:
			united.OCIVersion = versionInconsistent
		}
	}
	slices.Sort(united.Capabilities)
	united.Capabilities = slices.Compact(united.Capabilities)
	return united
}

// releaseOf returns the release in a state file; zero if it is not complete.
func releaseOf(metadata []state.Pair) registration.Release {
	var r registration.Release
	for _, p := range metadata {
		switch p.Name {
		case "version":
			r.Version = p.Value
		case "go":
			r.Go = p.Value
		case "cpuarch":
			r.Arch = p.Value
		}
	}
	if r.Version == "" || r.Go == "" || r.Arch == "" {
		return registration.Release{}
	}
	return r
}
