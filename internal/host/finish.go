package host

import (
	"slices"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// Finish measures what is left of a sandbox whose sentry has just ended: the counters and the peaks
// of its own cgroup, which runsc removes about 10 to 200 ms after the end. Growth is added to the
// account's counters as in Read. The current use of memory and threads is absent, and so is the
// network, because the namespace has gone with the sentry. If the cgroup is gone, everything is
// absent, without a reason. With several hierarchies, that is decided for each of them.
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
			a.readLast(c, u, &sources)
		}
	}
	a.finishSentry(u, &sources)
	a.count(u, &sources)
	a.kills.finish(u)
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

// readLast reads the files of a cgroup that tell of the past.
func (a *Account) readLast(c *cgroup, u *fact.Reading, sources *[fact.Quantities]uint64) {
	for i := range c.files {
		f := &c.files[i]
		if !f.outlasts() {
			continue
		}
		data, err := f.read(a.meter.buffer)
		if err == nil {
			err = parseFields(data, f.fields, func(q fact.Quantity, value int64) {
				u.Set(q, value)
				sources[q] = c.inode
			})
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

// kills are the OOM kills that an account has counted, and when: those of the last moments may be
// why the sandbox has ended.
type kills struct {
	known        bool
	last, before int64 // as of the last Read, or Finish, and as of the Read before the last
	risen        bool  // last is above before, in Finish
}

// read takes in what Read counted.
func (k *kills) read(u *fact.Reading) {
	n, ok := u.Get(fact.OOMKills)
	if !ok {
		return
	}
	k.before = k.last
	if !k.known {
		k.before = n // nothing tells how long ago these were
	}
	k.known, k.last, k.risen = true, n, false
}

// finish takes in what Finish counted.
func (k *kills) finish(u *fact.Reading) {
	if n, ok := u.Get(fact.OOMKills); ok && k.known {
		k.last = n
	}
	k.risen = k.last > k.before
}

// OOMKilled reports whether the count of OOM kills of the sandbox's own cgroup rose at its end: in
// Finish, or in the last Read before it, which may have been between the kill and the end. A count
// in the first Read is not a rise, because it may be of long ago. OOMKilled is false before Finish.
func (a *Account) OOMKilled() bool {
	a.meter.mu.Lock()
	defer a.meter.mu.Unlock()
	return a.kills.risen
}

func (c *cgroup) hasCPU() bool { return c.quantities().Has(fact.CPU) }
