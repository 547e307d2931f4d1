package host

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// findOwn finds the path of this process's cgroup in each mount whose root is above it.
func (m *Meter) findOwn() {
	data, err := m.read(m.proc("self", "cgroup"))
	if err != nil {
		return
	}
	members := parseMemberships(data)
	for i := range m.mounts {
		mount := &m.mounts[i]
		levels, root := cutAbove(mount.root)
		at := slices.IndexFunc(members, func(member membership) bool { return mount.has(member.controllers) })
		if levels == 0 || root != "" || at < 0 {
			continue
		}
		up, down := cutAbove(members[at].path)
		visits := maxVisits
		own := m.search(m.root+mount.dir, levels-up+strings.Count(down, "/"), &visits)
		if len(own) >= levels {
			mount.own = own[:levels]
		}
	}
}

// maxVisits limits the search. A node has some hundred cgroups.
const maxVisits = 10_000

// search returns the path below dir to the cgroup of this process, which is depth levels deep, or
// nil. Only the list of its processes tells which it is.
func (m *Meter) search(dir string, depth int, visits *int) []string {
	if *visits--; *visits < 0 || depth < 0 {
		return nil
	}
	if depth == 0 {
		data, err := m.read(dir + "/cgroup.procs")
		if err != nil {
			return nil
		}
		if pids, err := parsePIDs(data); err == nil && slices.Contains(pids, os.Getpid()) {
			return []string{}
		}
		return nil
	}
	below, err := children(dir)
	if err != nil {
		return nil
	}
	for _, child := range below {
		if rest := m.search(child, depth-1, visits); rest != nil {
			return append([]string{filepath.Base(child)}, rest...)
		}
	}
	return nil
}
