package claims

import "github.com/sandmeter/sandmeter/internal/fact"

// Divide returns the memory of each container: its claim, reduced in proportion if all claims together exceed
// the sandbox's memory as measured on the host. It returns nil if that is not known, or if the sandbox has not
// reported the memory of all its containers.
//
// mounted tells that cgroups are mounted in one of the containers. Without that, the sandbox of a pod does
// not know the memory of each container. It divides its memory by their number, without the root container,
// which gets none: then equal is true. The root container of a pod has no memory even with the mount, because
// Kubernetes' pause container lacks it.
func Divide(host fact.Figure, containers []Container, mounted bool) (memory []fact.Figure, equal bool) {
	claimed, complete := sum(containers)
	if !complete || !host.Known {
		return nil, false
	}
	for _, c := range containers {
		bytes := c.Memory.Value
		if claimed > float64(host.Value) {
			bytes = int64(float64(host.Value) * (float64(c.Memory.Value) / claimed))
		}
		memory = append(memory, fact.Of(bytes, true))
	}
	return memory, len(containers) > 1 && containers[0].Memory.Value == 0 && !mounted
}

// sum returns the memory of all containers in bytes. It is complete if each container has a claim.
func sum(containers []Container) (bytes float64, complete bool) {
	complete = true
	for _, c := range containers {
		bytes += float64(c.Memory.Value)
		complete = complete && c.Memory.Known
	}
	return bytes, complete
}
