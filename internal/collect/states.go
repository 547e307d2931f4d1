package collect

import "github.com/sandmeter/sandmeter/internal/snapshot"

// A lifeState tells where a life is. Only move changes it.
type lifeState uint8

const (
	created      lifeState = iota // there is a state file, and no process yet
	unproven                      // something runs or listens, and it is not proven to be the sandbox's process
	running                       // its process is watched
	elsewhere                     // its process is in a PID namespace that the server cannot see
	orphaned                      // its process is watched, and its state file is gone
	unregistered                  // a client has unregistered it, which closed it, while it runs
	ended                         // its end has been observed; it is not closed
	leaving                       // the same, and it is not in snapshots any more
	closed                        // its last values have been counted and recorded
	gone                          // the same, and it is not in snapshots any more
	states
)

// transitions has the states that may follow each state. A state file that changes can begin any of
// the first four anew, because the sandbox may have another process.
var transitions = [states][]lifeState{
	created:      {unproven, running, elsewhere, unregistered, ended},
	unproven:     {created, running, elsewhere, unregistered, ended},
	running:      {created, unproven, elsewhere, orphaned, unregistered, ended},
	elsewhere:    {created, unproven, running, unregistered, ended},
	orphaned:     {running, unproven, unregistered, ended}, // running: the state file is back
	unregistered: {closed},
	ended:        {closed, leaving},
	leaving:      {gone},
	closed:       {gone},
}

func (s lifeState) String() string {
	return [...]string{"created", "unproven", "running", "elsewhere", "orphaned", "unregistered", "ended", "leaving", "closed", "gone"}[s]
}

// lives reports whether the sandbox runs, or is about to.
func (s lifeState) lives() bool { return s <= unregistered }

// runs reports whether the sandbox has a process, and no client has unregistered it.
func (s lifeState) runs() bool {
	return s == unproven || s == running || s == elsewhere || s == orphaned
}

// leaves reports whether the sandbox is not in snapshots any more.
func (s lifeState) leaves() bool { return s == leaving || s == gone }

// phase returns the state as snapshots have it.
func (s lifeState) phase() snapshot.Phase {
	switch s {
	case created:
		return snapshot.Created
	case orphaned:
		return snapshot.Orphaned
	case ended, leaving, closed, gone:
		return snapshot.Ended
	}
	return snapshot.Running
}

// An origin tells how a life began.
type origin uint8

const (
	fresh origin = iota // while the server ran
	older               // perhaps before the server: its first values are not growth
	stale               // it had ended before the server began, so there is nothing to count and record
)
