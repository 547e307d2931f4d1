package host

import (
	"slices"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// kills are the OOM kills that an account has counted, and when: recent ones may be why
// the sandbox has ended.
type kills struct {
	known        bool
	last, before int64         // now, and as of the Read before the last
	cgroup       uint64        // inode
	limits       int64         // how often this cgroup has reached its limit, by the kernel's count
	scope        fact.OOMScope // of the newest kill
}

// readKills takes in the count of a Read. Kills before the first Read may be of long ago, unless
// the sandbox is new.
func (a *Account) readKills(u *fact.Reading) {
	n, ok := u.Get(fact.OOMKills)
	if !ok {
		return
	}
	k := &a.kills
	k.before = k.last
	if !k.known && !a.isNew() {
		k.before, k.last = n, n
	}
	k.known = true
	a.takeKills(n)
}

// isNew reports whether everything that the cgroups count happened since the server watches the sandbox.
func (a *Account) isNew() bool {
	return a.subject.New && !slices.ContainsFunc(a.cgroups, func(c *cgroup) bool { return c.pod != nil })
}

// takeKills takes in the count of kills.
func (a *Account) takeKills(n int64) {
	if n > a.kills.last {
		a.kills.scope = a.oomScope()
	}
	a.kills.last = n
}

// OOMKilled reports whether the kernel killed a process of the sandbox's own cgroup for lack of memory
// after the Read before the last one, and whose limit that was about. A count in the first Read does not
// matter, because it may be of long ago, unless the sandbox is new.
func (a *Account) OOMKilled() (killed bool, scope fact.OOMScope) {
	a.meter.mu.Lock()
	defer a.meter.mu.Unlock()
	if k := &a.kills; k.known && k.last > k.before {
		return true, k.scope
	}
	return false, ""
}

// watchKills has kills noted as they happen: the cgroup may be gone when the sandbox's end is noticed.
// Only cgroup v2 tells of them.
func (a *Account) watchKills(c *cgroup) {
	f := c.memoryEvents()
	if f == nil {
		return
	}
	a.meter.addAncestors(c.dir, a.subject.WatchFile)
	if a.kills.cgroup != c.inode {
		a.kills.cgroup, a.kills.limits = c.inode, 0
		if !a.isNew() {
			a.kills.limits, _ = a.limitsOf(f)
		}
	}
	if a.subject.WatchFile != nil && f.fd >= 0 {
		c.unwatch = a.subject.WatchFile(f.fd, a.noteKills)
	}
}

// noteKills counts the kills now. It is called when the kernel tells of some.
func (a *Account) noteKills() {
	a.meter.mu.Lock()
	defer a.meter.mu.Unlock()
	for _, c := range a.cgroups {
		if f := c.memoryEvents(); f != nil {
			var u fact.Reading
			var sources [fact.Quantities]uint64
			if a.readFile(c, f, &u, &sources) == nil {
				a.count(&u, &sources)
				a.takeLastKills(&u)
			}
		}
	}
}

// takeLastKills takes in the count of kills without a Read.
func (a *Account) takeLastKills(u *fact.Reading) {
	if n, ok := u.Get(fact.OOMKills); ok && a.kills.known {
		a.takeKills(n)
	}
}

// memoryEvents returns the file of cgroup v2 that counts kills, or nil.
func (c *cgroup) memoryEvents() *openFile {
	for i := range c.files {
		if f := &c.files[i]; strings.HasSuffix(f.path, "/memory.events") {
			return f
		}
	}
	return nil
}

// oomScope returns whose limit the kill that was just counted was about.
func (a *Account) oomScope() fact.OOMScope {
	for _, c := range a.cgroups {
		f := c.memoryEvents()
		if f == nil {
			continue
		}
		limits, ok := a.limitsOf(f)
		switch before := a.kills.limits; {
		case !ok:
			return ""
		case limits > before:
			a.kills.limits = limits
			return fact.OOMSandbox
		}
		return a.meter.scopeAbove(c.dir)
	}
	return ""
}

// limitsOf returns how often the cgroup, or a cgroup in it, has reached its limit.
func (a *Account) limitsOf(f *openFile) (n int64, ok bool) {
	data, err := f.read(a.meter.buffer)
	if err != nil {
		return 0, false
	}
	return oomCount(data), true
}

// oomCount returns the field oom of a memory.events file.
func oomCount(data []byte) (n int64) {
	_ = parseFields(data, []field{{"oom", fact.OOMKills, 1}}, func(_ fact.Quantity, count int64) { n = count })
	return n
}

// recentOOM is how long before a kill its cgroup may have reached the limit.
const recentOOM = 10 * time.Second
