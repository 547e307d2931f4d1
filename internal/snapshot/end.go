package snapshot

import (
	"time"

	"github.com/sandmeter/sandmeter/internal/fact"
)

// An Outcome tells how a sandbox ended. It is a value of the label "outcome".
type Outcome string

// The outcomes.
const (
	Exited       Outcome = "exited"       // its workload ended with exit status 0
	Failed       Outcome = "failed"       // its workload ended with another exit status; 137 and 143 count as statuses, not signals
	OOMKilled    Outcome = "oom_killed"   // the kernel killed it for lack of memory; see End.OOMScope
	Killed       Outcome = "killed"       // a signal from the host ended it
	Checkpointed Outcome = "checkpointed" // runsc saved it, and ended it with that
	Vanished     Outcome = "vanished"     // its state file was removed, and its end could not be observed
	Unregistered Outcome = "unregistered" // a client took it off the server before it ended
	Unknown      Outcome = "unknown"      // the server observed the end, and the host does not tell the status
)

// Outcomes are all outcomes, in the order above. The slice must not be changed.
var Outcomes = []Outcome{Exited, Failed, OOMKilled, Killed, Checkpointed, Vanished, Unregistered, Unknown}

// An End is what is known of a sandbox that has ended or was unregistered. It is immutable.
type End struct {
	Time     time.Time     // when the server observed it, by the wall clock
	Lifetime time.Duration // from the start of the sandbox's process; 0: not known
	Outcome  Outcome
	Code     int           // exit status of a sandbox that failed
	Signal   int           // that ended a sandbox that was killed
	OOMScope fact.OOMScope // whose limit of memory that was about
	Metrics  Origin        // of the sandbox's Reported
	Usage    Origin        // of the sandbox's Usage, without the network
	Network  Origin        // of the network in the sandbox's Usage; its namespace goes with the sandbox's process
	// MemoryPeak is the highest memory use of the sandbox's cgroup, in bytes; 0: not known.
	MemoryPeak int64
}

// An Origin tells where the last values of a sandbox are from.
type Origin string

// The origins.
const (
	NoOrigin       Origin = "none"              // there are no values
	FromFinalLog   Origin = "final_metrics_log" // written by the sandbox at its end
	FromHost       Origin = "host"              // measured by the host after the end
	FromUnregister Origin = "unregister"        // sampled when the sandbox was unregistered
	FromSample     Origin = "last_sample"       // the last ones before the end; what came after is missing
)

// Complete reports whether no growth is missing after the values.
func (o Origin) Complete() bool { return o == FromFinalLog || o == FromHost || o == FromUnregister }

// A Hiding tells why a sandbox of a snapshot has no series on pages. It is in documents of the JSON
// API all the same.
type Hiding string

// The reasons.
const (
	Shown            Hiding = ""             // it has series
	HidUnregistered  Hiding = "unregistered" // until the ID is used again
	HidBySeriesLimit Hiding = "series_limit" // older sandboxes use up --max-sandboxes-with-series
)
