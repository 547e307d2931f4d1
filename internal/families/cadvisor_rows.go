package families

import (
	"slices"
	"strings"

	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// cadvisorRows are the cgroups of a sandbox as cAdvisor sees them, with their label sets. A pod is a
// row, and so is each container, including the one that holds the pod's namespaces, which has the
// pod's network. A container outside of a pod is the only row of its sandbox. Rows are made once, until
// the sandbox's state files or network interfaces change.
type cadvisorRows struct {
	rows       []cadvisorRow        // the first one has the figures of the sandbox as a whole
	only       int                  // index of the only container of a pod; 0: none
	interfaces []*snapshot.LabelSet // by index in the usage
	keys       []string             // of the rows
}

// A cadvisorRow is a pod or a container.
type cadvisorRow struct {
	isPod    bool
	root     *snapshot.Container // the container, or the root container of the pod
	set      *snapshot.LabelSet
	totalCPU *snapshot.LabelSet // with the label cpu
}

// newCadvisorRows returns the rows of a measured sandbox.
func newCadvisorRows(s *snapshot.Sandbox) *cadvisorRows {
	r := new(cadvisorRows)
	root := &s.Containers[0]
	hasPod := root.Pause || len(s.Containers) > 1
	if hasPod {
		r.add(cadvisorRow{isPod: true, root: root}, podLabels(s))
	}
	network := len(r.rows) // index of the root container
	var apps []int
	for i := range s.Containers {
		c := &s.Containers[i]
		if hasPod && !c.Pause {
			apps = append(apps, len(r.rows))
		}
		r.add(cadvisorRow{root: c}, cadvisorLabels(s.Labels, c.Name, cgroupOf(c), c.Image, c.ID))
	}
	if len(apps) == 1 {
		r.only = apps[0]
	}
	for i := range s.Usage.Interfaces {
		r.interfaces = append(r.interfaces, with(r.rows[network].set.Pairs, label("interface", s.Usage.Interfaces[i].Name)))
	}
	return r
}

// add adds a row with its labels.
func (r *cadvisorRows) add(row cadvisorRow, labels []snapshot.Label) {
	row.set, row.totalCPU = snapshot.NewLabelSet(labels...), with(labels, label("cpu", "total"))
	r.rows = append(r.rows, row)
	var values []string
	for _, l := range labels {
		values = append(values, strings.ToValidUTF8(l.Value, "\uFFFD")) // as on the page
	}
	r.keys = append(r.keys, strings.Join(values, "\x00"))
}

func with(labels []snapshot.Label, more snapshot.Label) *snapshot.LabelSet {
	return snapshot.NewLabelSet(append(slices.Clone(labels), more)...)
}

// find returns the index of a container's row, or -1.
func (r *cadvisorRows) find(id string) int {
	return slices.IndexFunc(r.rows, func(row cadvisorRow) bool { return !row.isPod && row.root.ID == id })
}

// container returns the index of the row of a container, by its index in the sandbox.
func (r *cadvisorRows) container(i int) int {
	if r.rows[0].isPod {
		return i + 1
	}
	return i
}

// podLabels returns the labels of a pod's row: it has the name of no container, and the cgroup of
// the pod. If the spec tells no such cgroup, it has that of the root container, and never that of a
// slice or of the machine.
func podLabels(s *snapshot.Sandbox) []snapshot.Label {
	id := s.PodCgroup
	if id == "" {
		id = cgroupOf(&s.Containers[0])
	}
	return cadvisorLabels(s.Labels, "", id, "", "")
}

// cadvisorLabels returns the labels that each sample has. Empty ones are on the page too, as in
// kubelet: without them, a scrape with honor_labels would add those of its target.
func cadvisorLabels(l *snapshot.Labels, container, id, image, name string) []snapshot.Label {
	return []snapshot.Label{label("container", container), label("id", id), label("image", image),
		label("name", name), label("namespace", l.Namespace), label("pod", l.Pod)}
}

func cgroupOf(c *snapshot.Container) string {
	if c.Cgroup == "" {
		return "/" + c.ID
	}
	return c.Cgroup
}
