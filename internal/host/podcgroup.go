package host

import (
	"golang.org/x/sys/unix"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// A podCgroup is a cgroup that outlives its sandbox. Kubernetes makes the cgroup of a pod before the
// pod's sandbox, and keeps it when the sandbox ends and the pod gets another one. Then the counters of
// the cgroup include the past of other sandboxes.
//
// What the cgroup counted after the last reading of a sandbox belongs to the next one, so that the sum
// over all sandboxes of a pod is that of the cgroup, and an OOM kill that ends a sandbox is not lost.
type podCgroup struct {
	inode   uint64
	sandbox string                 // ID of the one that uses it, or used it last
	began   [fact.Quantities]int64 // the kernel's counters when the sandbox began
	last    [fact.Quantities]int64 // the kernel's counters as the sandbox last counted them
}

// leastPodCgroups is how many podCgroups are kept before removed ones are looked for.
const leastPodCgroups = 64

// podCgroup returns what is known of the cgroup, which the sandbox uses now, or nil if it was made for
// the sandbox alone.
func (m *Meter) podCgroup(c *cgroup, s *Subject) *podCgroup {
	if s.namedAlone(c.dir) {
		return nil
	}
	p := m.pods[c.dir]
	if p == nil || p.inode != c.inode {
		m.forgetRemoved()
		p = &podCgroup{inode: c.inode, sandbox: s.ID}
		m.pods[c.dir] = p
	}
	if p.sandbox != s.ID {
		p.sandbox, p.began = s.ID, p.last
	}
	return p
}

// forgetRemoved forgets cgroups that were removed, each time that there are twice as many.
func (m *Meter) forgetRemoved() {
	if len(m.pods) < m.mostPods {
		return
	}
	for dir, p := range m.pods {
		var stat unix.Stat_t
		if err := unix.Stat(dir, &stat); err != nil || stat.Ino != p.inode {
			delete(m.pods, dir)
		}
	}
	m.mostPods = max(leastPodCgroups, 2*len(m.pods))
}

// join makes the account's counters of the cgroup begin where those of the sandbox do.
func (a *Account) join(c *cgroup) {
	if c.pod = a.meter.podCgroup(c, &a.subject); c.pod == nil {
		return
	}
	for q, set := fact.Quantity(0), c.quantities(); q < fact.Quantities; q++ {
		if counter := &a.counters[q]; set.Has(q) && counter.source != c.inode {
			counter.source, counter.last, counter.paused = c.inode, c.pod.began[q], false
		}
	}
}

// note records how far the account has counted, for the next sandbox of the pod.
func (a *Account) note() {
	for _, c := range a.cgroups {
		if c.pod == nil || c.pod.sandbox != a.subject.ID {
			continue
		}
		for q, set := fact.Quantity(0), c.quantities(); q < fact.Quantities; q++ {
			if set.Has(q) && a.counters[q].source == c.inode {
				c.pod.last[q] = a.counters[q].last
			}
		}
	}
}
