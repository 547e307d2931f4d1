package state

import (
	"path"
	"strings"
)

// Cgroup returns the path of the cgroup that the spec gives the container, from the root of the
// hierarchy, or "". A CgroupsPath of systemd's form slice:prefix:name becomes the path that systemd
// makes of it.
func (s *Spec) Cgroup() string {
	slice, unit, isUnit := strings.Cut(s.CgroupsPath, ":")
	if s.CgroupsPath == "" || strings.Contains(slice, "/") || !isUnit {
		return rooted(s.CgroupsPath)
	}
	prefix, name, _ := strings.Cut(unit, ":")
	if !strings.HasSuffix(name, sliceSuffix) {
		name += ".scope"
		if prefix != "" {
			name = prefix + "-" + name
		}
	}
	return path.Join("/", slicePath(slice), name)
}

// PodCgroup returns the path of the cgroup of the pod that the container belongs to, or "" if the
// spec tells no such cgroup: the parent of the container's cgroup, if its name has the pod's UID.
func (s *Spec) PodCgroup() string {
	const shortest = 8 // of a text that names one pod
	parent := path.Dir(s.Cgroup())
	// systemd has underscores for hyphens in names of slices.
	name := strings.ReplaceAll(path.Base(parent), "_", "-")
	if len(s.PodUID) < shortest || !strings.Contains(name, s.PodUID) {
		return ""
	}
	return parent
}

func rooted(cgroup string) string {
	if cgroup == "" {
		return ""
	}
	return path.Join("/", cgroup)
}

const sliceSuffix = ".slice"

// slicePath returns the path of a systemd slice: a-b.slice is in a.slice. An empty name means
// system.slice, and -.slice is the root.
func slicePath(slice string) string {
	name := strings.TrimSuffix(slice, sliceSuffix)
	switch name {
	case "":
		return "system" + sliceSuffix
	case "-":
		return ""
	}
	var elements []string
	for i := range len(name) {
		if name[i] == '-' {
			elements = append(elements, name[:i]+sliceSuffix)
		}
	}
	return path.Join(append(elements, name+sliceSuffix)...)
}
