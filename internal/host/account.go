package host

import (
	"strconv"
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// A Subject is a sandbox to measure.
type Subject struct {
	ID          string
	PID         int         // of the sentry
	Alive       func() bool // whether the sentry still has this PID; false once it has ended. It calls no Account
	End         func() *End // the record of the sentry's end, or nil; the function itself may be nil
	Gofers      []int       // PIDs of the gofers of its containers, in the PID namespace in which runsc ran
	Level       int         // index of that namespace in the sentry's list; 0: this one
	Cgroup      string      // of its root container, by the OCI spec; empty: none
	PodUID      string      // empty: none
	HostNetwork bool        // it uses the host's network
	New         bool        // it was made while the server has been running
	// WatchFile is [Watcher.WatchFile]; nil: OOM kills are only counted.
	WatchFile func(fd int, changed func()) (stop func())
}

// retestAfter is how long something is taken for absent before it is looked for again. A runsc
// command that creates a container is in the sandbox's cgroup for a moment, for example, and the
// server may have lacked file descriptors.
const retestAfter = time.Minute

// An Account has what a Meter measured of one sandbox. Its counters never fall, also when the
// sandbox gets another cgroup. All methods are safe for concurrent use; each takes the lock of the
// Meter, which one call holds as long as it takes to measure one sandbox.
type Account struct {
	meter   *Meter
	subject Subject
	dir     string // of the sentry in /proc

	// What locate found.
	located bool
	retest  time.Time // when to locate again; zero: when the subject or the cgroup changes
	cgroups []*cgroup // the sandbox's own
	shared  []string  // directories of cgroups that others are in too
	lacks   []fact.Reason
	network string // the network namespace; empty: it is not measured

	counters   [fact.Quantities]counter
	interfaces []*interfaceCounters
	memfds     []memfd // of the sentry
	kills      kills
	keeper     keeper
}

// Open returns an account of the sandbox. It measures nothing yet. Close it when it is no longer
// needed.
func (m *Meter) Open(s Subject) *Account {
	a := &Account{meter: m}
	a.Update(s)
	return a
}

// Update tells the account that the sandbox's containers have changed.
func (a *Account) Update(s Subject) {
	a.meter.mu.Lock()
	defer a.meter.mu.Unlock()
	a.subject = s
	a.dir = a.meter.proc(strconv.Itoa(s.PID)) + "/"
	a.located, a.memfds = false, nil
}

// Close releases the file descriptors of the account. After that, Finish finds nothing, and Read
// must not be called. Closing again does nothing.
func (a *Account) Close() {
	a.meter.mu.Lock()
	defer a.meter.mu.Unlock()
	a.keeper.set(nil)
	closeAll(a.cgroups)
	a.cgroups, a.located = nil, false
}

// Read measures the sandbox, now. What cannot be measured is absent, with a reason. If the sentry
// has ended or is ending, everything is absent, without a reason; what it used last is left for Finish.
func (a *Account) Read(u *fact.Reading, now time.Time) {
	a.meter.mu.Lock()
	defer a.meter.mu.Unlock()
	u.Reset(now)
	var sources [fact.Quantities]uint64
	a.readCgroups(u, &sources)
	a.readNetwork(u)
	a.readSentry(u, &sources)
	// The files in /proc are about whichever process has the PID. If the sentry is alive now, that
	// was the sentry. One that is ending has lost its network first.
	if !a.subject.Alive() || len(u.Absent) > 0 && a.isEnding() {
		u.Reset(now)
		return
	}
	a.count(u, &sources)
	a.readKills(u)
}

// count replaces the kernel's counters by the account's.
func (a *Account) count(u *fact.Reading, sources *[fact.Quantities]uint64) {
	for q := range fact.Quantities {
		if value, ok := u.Get(q); ok && q.Counts() {
			u.Set(q, a.counters[q].add(sources[q], value))
		}
	}
	a.note()
	for i := range u.Interfaces {
		a.countInterface(&u.Interfaces[i])
	}
}

// readCgroups reads the files of the sandbox's own cgroups. If a cgroup is gone, the sandbox may
// have a new one.
func (a *Account) readCgroups(u *fact.Reading, sources *[fact.Quantities]uint64) {
	if !a.located || !a.retest.IsZero() && !u.Time.Before(a.retest) {
		a.locate(u.Time)
	}
	if !a.readFiles(u, sources) {
		u.Clear()
		a.locate(u.Time)
		if !a.readFiles(u, sources) {
			u.Lack(fact.CgroupUnreadable)
		}
	}
	for _, r := range a.lacks {
		u.Lack(r)
	}
}

// readFiles reads all files of all cgroups, and returns false if a cgroup is gone.
func (a *Account) readFiles(u *fact.Reading, sources *[fact.Quantities]uint64) (there bool) {
	for _, c := range a.cgroups {
		for i := range c.files {
			switch err := a.readFile(c, &c.files[i], u, sources); {
			case isGone(err):
				return false
			case err != nil:
				u.Lack(fact.CgroupUnreadable)
			}
		}
	}
	return true
}

// readFile reads a file of a cgroup.
func (a *Account) readFile(c *cgroup, f *openFile, u *fact.Reading, sources *[fact.Quantities]uint64) error {
	data, err := f.read(a.meter.buffer)
	if err != nil {
		return err
	}
	return c.take(f, data, u, sources)
}

// take takes in the content of a file.
func (c *cgroup) take(f *openFile, data []byte, u *fact.Reading, sources *[fact.Quantities]uint64) error {
	return parseFields(data, f.fields, func(q fact.Quantity, value int64) {
		u.Set(q, value)
		sources[q] = c.inode
	})
}

// file returns the path of a file about the sentry in /proc.
func (a *Account) file(name string) string { return a.dir + name }
