package page

import (
	"slices"
	"strings"

	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// A cadvisorRow is a cgroup as cAdvisor sees it: a pod, or a container.
type cadvisorRow struct {
	isPod  bool
	root   *snapshot.Container // the container, or the root container of the pod
	labels []snapshot.Label    // sorted by name
}

// cadvisorRows are the rows of a sandbox, with their label sets. They are made once, until the
// sandbox's state files or network interfaces change.
type cadvisorRows struct {
	rows []cadvisorRow // the first one has the figures of the sandbox as a whole
	only int           // the row of the only container of a pod; 0: none
	// sets are those of the rows, then those of the rows with the label cpu, then those of network
	// interfaces.
	sets    []*snapshot.LabelSet
	place   []int // by label set of the usage: index in rows of a container, in sets of an interface, or -1
	keys    []string
	setSize int // average length of a label set as text, in bytes
}

// cadvisorRowsOf returns the rows of a measured sandbox.
func cadvisorRowsOf(s *snapshot.Sandbox) *cadvisorRows {
	if s.Usage.SetsMemo == nil {
		return newCadvisorRows(s)
	}
	return schema.Remember(s.Usage.SetsMemo, func() *cadvisorRows { return newCadvisorRows(s) })
}

// newCadvisorRows makes the rows as kubelet has them. A pod has a row, and so has each container,
// including the one that holds the pod's namespaces, which has the network of the pod. A container
// that is no pod's has the only row of its sandbox.
func newCadvisorRows(s *snapshot.Sandbox) *cadvisorRows {
	r := new(cadvisorRows)
	root := &s.Containers[0]
	hasPod := root.Pause || len(s.Containers) > 1
	if hasPod {
		r.rows = append(r.rows, cadvisorRow{isPod: true, root: root, labels: podLabels(s)})
	}
	network := len(r.rows) // of the root container
	var apps []int
	for i := range s.Containers {
		c := &s.Containers[i]
		if hasPod && !c.Pause {
			apps = append(apps, len(r.rows))
		}
		r.rows = append(r.rows, cadvisorRow{root: c, labels: containerLabels(s, c)})
	}
	if len(apps) == 1 {
		r.only = apps[0]
	}
	r.addSets(s, network)
	return r
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

func containerLabels(s *snapshot.Sandbox, c *snapshot.Container) []snapshot.Label {
	return cadvisorLabels(s.Labels, c.Name, cgroupOf(c), c.Image, c.ID)
}

// cadvisorLabels returns the labels that each sample has. Empty ones are on the page too, as in
// kubelet: without them, a scrape with honor_labels would add those of its target.
func cadvisorLabels(l *snapshot.Labels, container, id, image, name string) []snapshot.Label {
	return []snapshot.Label{
		{Name: "container", Value: container}, {Name: "id", Value: id}, {Name: "image", Value: image},
		{Name: "name", Value: name}, {Name: "namespace", Value: l.Namespace}, {Name: "pod", Value: l.Pod},
	}
}

func cgroupOf(c *snapshot.Container) string {
	if c.Cgroup == "" {
		return "/" + c.ID
	}
	return c.Cgroup
}

// addSets makes the label sets. The network interfaces are those of the usage, in the row network.
func (r *cadvisorRows) addSets(s *snapshot.Sandbox, network int) {
	for i := range r.rows {
		r.sets = append(r.sets, snapshot.NewLabelSet(r.rows[i].labels...))
		r.keys = append(r.keys, r.rows[i].key())
	}
	for i := range r.rows {
		r.sets = append(r.sets, r.rows[i].with(snapshot.Label{Name: "cpu", Value: "total"}))
	}
	for _, set := range s.Usage.Sets {
		place := -1
		for _, l := range set.Pairs {
			switch l.Name {
			case "container_id":
				place = slices.IndexFunc(r.rows, func(row cadvisorRow) bool { return !row.isPod && row.root.ID == l.Value })
			case "split":
				if l.Value == "equal" { // not the container's own figure, and cAdvisor has no label to tell
					place = -1
				}
			case "interface":
				place = len(r.sets)
				r.sets = append(r.sets, r.rows[network].with(l))
			}
		}
		r.place = append(r.place, place)
	}
	r.measure()
}

// measure sets the size of a label set.
func (r *cadvisorRows) measure() {
	all := snapshot.Source{Labels: noLabels, Schema: schema.Cadvisor, Sets: r.sets}
	for i := range r.sets {
		all.Samples = append(all.Samples, snapshot.Sample{Series: uint32(i)})
	}
	r.setSize = all.MeasureText() / len(r.sets)
}

// key returns a text that rows with the same labels have in common.
func (row *cadvisorRow) key() string {
	var values []string
	for _, l := range row.labels {
		values = append(values, strings.ToValidUTF8(l.Value, "\uFFFD")) // as on the page
	}
	return strings.Join(values, "\x00")
}

// with returns the labels of the row and another one.
func (row *cadvisorRow) with(l snapshot.Label) *snapshot.LabelSet {
	return snapshot.NewLabelSet(append(slices.Clone(row.labels), l)...)
}

// take reserves the keys of all rows, unless one of them is taken.
func (r *cadvisorRows) take(taken map[string]bool) bool {
	for _, key := range r.keys {
		if taken[key] {
			return false
		}
	}
	for _, key := range r.keys {
		taken[key] = true
	}
	return true
}
