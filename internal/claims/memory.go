package claims

// A Division tells how a sandbox divides its memory among its containers.
type Division int

const (
	// Incomplete means that the sandbox has not reported the memory of all its containers.
	Incomplete Division = iota
	// Separate means that the sandbox knows the memory of each container.
	Separate
	// Equal means that the sandbox divided its memory by the number of containers, without the root
	// container, which gets none. It does so in a pod without a mount of cgroups in any container.
	Equal
)

// DivisionOf returns the division of the sandbox's memory. mounted tells that cgroups are mounted in one
// of the containers. The root container of a pod has no memory even then, because Kubernetes' pause
// container lacks the mount.
func DivisionOf(containers []Container, mounted bool) Division {
	switch _, complete := sum(containers); {
	case !complete:
		return Incomplete
	case len(containers) > 1 && containers[0].Memory.Value == 0 && !mounted:
		return Equal
	}
	return Separate
}

// Divide returns the memory of each container in bytes: its claim, reduced in proportion if all claims
// together exceed the sandbox's memory as measured on the host.
func Divide(host int64, containers []Container) []int64 {
	claimed, _ := sum(containers)
	all := make([]int64, len(containers))
	for i, c := range containers {
		all[i] = c.Memory.Value
		if claimed > float64(host) {
			all[i] = int64(float64(host) * (float64(c.Memory.Value) / claimed))
		}
	}
	return all
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
