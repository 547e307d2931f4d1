package host

import (
	"path"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// An ancestor is a cgroup above cgroups of sandboxes, all of which share it. It is kept until it is
// removed.
type ancestor struct {
	fd      int // of memory.events.local
	limits  int64
	reached time.Duration // when it last reached its limit, by the monotonic clock; 0: not while it was watched
	unwatch func()
}

// addAncestors begins to watch the cgroups above a directory.
func (m *Meter) addAncestors(dir string, watch func(int, func()) func()) {
	if watch == nil {
		return
	}
	for dir = path.Dir(dir); m.isBelowMount(dir) && m.ancestors[dir] == nil; dir = path.Dir(dir) {
		fd, _, err := openInode(dir + "/memory.events.local")
		if err != nil {
			continue
		}
		if fd >= m.mayHold() {
			unix.Close(fd)
			return
		}
		a := &ancestor{fd: fd}
		m.ancestors[dir] = a
		m.lookAt(dir)
		a.reached = 0
		a.unwatch = watch(fd, func() {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.lookAt(dir)
		})
	}
}

// isBelowMount reports whether the directory is a cgroup of a hierarchy of cgroup v2, and not its root.
func (m *Meter) isBelowMount(dir string) bool {
	for i := range m.mounts {
		if rest, ok := strings.CutPrefix(dir, m.root+m.mounts[i].dir); ok && m.mounts[i].controllers == nil {
			return strings.HasPrefix(rest, "/")
		}
	}
	return false
}

// lookAt notes whether an ancestor has reached its limit, and forgets one that was removed.
func (m *Meter) lookAt(dir string) {
	a := m.ancestors[dir]
	if a == nil {
		return
	}
	n, err := unix.Pread(a.fd, m.buffer, 0)
	if err != nil {
		m.forget(dir)
		return
	}
	if limits := oomCount(m.buffer[:n]); limits > a.limits {
		a.limits, a.reached = limits, monotonic()
	}
}

func (m *Meter) forget(dir string) {
	a := m.ancestors[dir]
	delete(m.ancestors, dir)
	if a.unwatch != nil {
		a.unwatch()
	}
	unix.Close(a.fd)
}

// scopeAbove returns whose limit a kill in a cgroup was about that has not reached its own.
func (m *Meter) scopeAbove(dir string) fact.OOMScope {
	all := true
	for dir = path.Dir(dir); m.isBelowMount(dir); dir = path.Dir(dir) {
		m.lookAt(dir)
		a := m.ancestors[dir]
		if a != nil && a.reached != 0 && monotonic()-a.reached < recentOOM {
			return fact.OOMAncestor
		}
		all = all && a != nil
	}
	var stat unix.Stat_t // only the root of the hierarchy has no type
	if err := unix.Stat(dir+"/cgroup.type", &stat); !all || err != unix.ENOENT {
		return ""
	}
	return fact.OOMNode
}

// Close releases the file descriptors of the Meter. Its Accounts have been closed before.
func (m *Meter) Close() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for dir := range m.ancestors {
		m.forget(dir)
	}
}
