package collect

import (
	"cmp"
	"slices"

	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// Values of the label "split" of a container's memory.
const (
	splitEqual = "equal" // the sandbox divided its memory by the number of containers
	splitNone  = "none"  // the memory is the container's
)

// division returns how the reported memory is divided among containers; empty if there is none to
// show. Without a mount of cgroups in its containers, a sandbox divides its memory equally among all
// containers of a pod but the root container, which gets none. With the mount, which Kubernetes' pause
// container does not have and all others do, the root container has none either.
func (u *usage) division() string {
	_, measured := u.found.Get(host.Memory)
	r := &u.reported
	switch {
	case !r.detailed || !r.complete() || !measured:
		return ""
	case len(r.memory) > 1 && r.memory[0] == 0 && !r.accounted:
		return splitEqual
	}
	return splitNone
}

func memorySet(name, id, division string) *snapshot.LabelSet {
	return snapshot.NewLabelSet(snapshot.Label{Name: "container", Value: name}, snapshot.Label{Name: "container_id", Value: id},
		snapshot.Label{Name: "split", Value: division})
}

// addShares adds the CPU time of containers, if the host's figure of this collection was split. The
// label sets of the shares begin with set.
func (u *usage) addShares(add func(metric, series int, value int64), set int) {
	if _, measured := u.found.Get(host.CPU); !measured || !u.reported.known {
		return
	}
	split := &u.reported.split
	add(schema.ContainerCPU, noContainerSet, inUnit(schema.ContainerCPU, split.none))
	for i, p := range split.shares {
		add(schema.ContainerCPU, set+i, inUnit(schema.ContainerCPU, p.total))
	}
}

// finishShares makes the shares those at the end of the sandbox, if there are any. Containers do not
// report anymore, so what has been used since the last report is of the only container, or of none of
// them. Their series stay, also if the last thing that was learned is that they were deleted, as
// before the end of a pod.
func (s *sandbox) finishShares() {
	r := &s.usage.reported
	cpu, measured := s.usage.found.Get(host.CPU)
	only := s.onlyContainer()
	if measured && (!r.split.at.IsZero() || only.id != "") {
		r.split.finish(cpu, only)
		r.known = true
	}
}

// onlyContainer returns the container of a sandbox that has had no other, besides the one that holds
// a pod's namespaces and does nothing. Without an ID, there were several, or none is known.
func (s *sandbox) onlyContainer() claim {
	var only claim
	for _, c := range slices.Concat(s.identity.Containers, s.identity.Deleted) {
		switch {
		case c.Pause:
		case only.id != "":
			return claim{}
		default:
			only = claim{id: c.ID, name: cmp.Or(c.Name, c.ID)}
		}
	}
	return only
}

// addDetail adds the memory and the processes of containers. The label sets of the containers begin
// with container, those for memory with memory.
func (u *usage) addDetail(add func(metric, series int, value int64), container, memory int) {
	r := &u.reported
	if !r.detailed {
		return
	}
	if u.division() != "" {
		most, _ := u.found.Get(host.Memory)
		for i, bytes := range capped(r.memory, most) {
			add(schema.ContainerMemory, memory+i, bytes)
		}
	}
	for i, n := range r.processes {
		if n != verify.NotReported {
			add(schema.ContainerProcesses, container+i, n)
		}
	}
}

// capped returns the figures, made smaller in proportion if their sum is above the limit.
func capped(figures []int64, limit int64) []int64 {
	sum := 0.0
	for _, n := range figures {
		sum += float64(n)
	}
	all := make([]int64, len(figures))
	for i, n := range figures {
		if sum > float64(limit) {
			n = int64(float64(limit) * (float64(n) / sum))
		}
		all[i] = n
	}
	return all
}

// addDifferences adds the differences between what was reported and what was measured.
func (r *reported) addDifferences(add func(metric, series int, value int64)) {
	for of := range r.comparisons {
		if c := &r.comparisons[of]; c.known {
			add(schema.ClaimDifference, comparedSet+of, snapshot.FloatValue(c.ratio))
		}
	}
}
