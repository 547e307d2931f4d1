package host

import "github.com/sandmeter/sandmeter/internal/fact"

// StillShared reports whether processes of others are still in a cgroup in which the last Read found
// some (fact.CgroupShared). If not, the next Read looks for the sandbox's cgroups again. It checks
// the lists of processes only: with systemd as cgroup driver, `runsc create` is in the sandbox's
// cgroup until it exits, so it is called often at first.
func (a *Account) StillShared() bool {
	a.meter.mu.Lock()
	defer a.meter.mu.Unlock()
	census := newCensus(a.meter, &a.subject)
	for _, dir := range a.shared {
		if census.check(dir) == fact.CgroupShared {
			return true
		}
	}
	a.located = false
	return false
}
