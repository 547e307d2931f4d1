package host

import (
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// Finish measures what is left of a sandbox whose sentry has just ended: the counters and the peaks
// of its own cgroup, which runsc removes about 10 to 200 ms after the end. Growth is added to the
// account's counters as in Read. The current use of memory and threads is absent, and so is the
// network, because the namespace has gone with the sentry. If the cgroup is gone, everything that Keep
// has not kept is absent, without a reason. With several hierarchies, that is decided for each of them.
//
// The cgroups are those that the last Read used. They are the sandbox's by name and by descriptor
// or inode, whether or not the sentry lives, so Finish neither looks for cgroups nor reads anything
// in /proc. Without a Read before, everything is absent. SentryCPU is from the record of the
// sentry's end, if the last Read had it.
//
// Finish is made to be called by the function of [Process.AtEnd].
func (a *Account) Finish(u *fact.Reading, now time.Time) {
	a.meter.mu.Lock()
	defer a.meter.mu.Unlock()
	u.Reset(now)
	var sources [fact.Quantities]uint64
	for _, c := range a.cgroups {
		if c.pod == nil || c.pod.sandbox == a.subject.ID { // else it is the next sandbox's by now
			a.finishCgroup(c, u, &sources)
		}
	}
	a.finishSentry(u, &sources)
	a.count(u, &sources)
	a.takeLastKills(u)
}

// finishSentry takes the CPU time of the sentry from the record of its end, if it was measured for
// lack of a cgroup.
func (a *Account) finishSentry(u *fact.Reading, sources *[fact.Quantities]uint64) {
	measured := a.counters[fact.SentryCPU].source == uint64(a.subject.PID)
	if a.subject.End == nil || !measured || slices.ContainsFunc(a.cgroups, (*cgroup).hasCPU) {
		return
	}
	if end := a.subject.End(); end != nil && end.CPU > 0 {
		u.Set(fact.SentryCPU, int64(end.CPU))
		sources[fact.SentryCPU] = uint64(a.subject.PID)
	}
}

// finishCgroup reads the files of a cgroup that tell of the past.
func (a *Account) finishCgroup(c *cgroup, u *fact.Reading, sources *[fact.Quantities]uint64) {
	for i := range c.files {
		f := &c.files[i]
		if !f.outlasts() {
			continue
		}
		data, err := a.readLast(f)
		if err == nil {
			err = c.take(f, data, u, sources)
		}
		if err != nil && !isGone(err) {
			u.Lack(fact.CgroupUnreadable)
		}
	}
}

// outlasts reports whether the file tells of the past, and not of now.
func (f *openFile) outlasts() bool {
	q := f.fields[0].quantity
	return q.Counts() || q == fact.MemoryPeak
}

func (c *cgroup) hasCPU() bool { return c.quantities().Has(fact.CPU) }
