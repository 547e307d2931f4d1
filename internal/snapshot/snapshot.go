package snapshot

import (
	"cmp"
	"sync/atomic"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/schema"
)

// A Snapshot is everything that one collection found. It is never filtered by metric, and it has
// only the sandboxes to which the collection was limited. Each part has its own time.
type Snapshot struct {
	Began     time.Time           // when the collection began; no sample is older
	Time      time.Time           // when it was complete
	Roots     []Root              // in the order in which they were configured
	Selected  Union               // the sandboxes to which the collection was limited
	Sandboxes []Sandbox           // sorted by ID, and sandboxes of the same ID by the order of Roots
	Server    Server              // about the server itself, and counts of all sandboxes, selected or not
	Totals    *Totals             // over all sandboxes, live and ended; nil: there are none
	Process   []*dto.MetricFamily // about the server process, by a client library; sorted by name; not to be changed

	// Derived caches the samples that families makes of the snapshot. Nil: nothing is cached.
	Derived *schema.Memo
}

// A Root is the result of reading one runtime root.
type Root struct {
	Path       string
	Err        error       // why it could not be read; nil: it could
	Hung       bool        // its file system does not answer, which is an error too
	Unreadable []FileError // state files that could not be read, sorted by name
}

// A FileError says why a state file could not be read.
type FileError struct {
	Name string // of the file
	Err  error
}

// A Sandbox is one life of a sandbox in a snapshot.
type Sandbox struct {
	*Identity
	Phase        Phase
	Checkpointed bool
	Restored     bool
	CPUSaved     time.Duration // CPU time that restoring it saved; 0 if it was not restored
	WallSaved    time.Duration
	Query               // for its metrics
	Reported     Source // the metrics that the sandbox reported, verified; without a schema if it has none
	Usage        *Usage // nil: nothing was measured
	End          *End   // nil: it has not ended
	Hidden       Hiding

	// Derived has what families made of an earlier snapshot of the same life. Nil: nothing is kept.
	Derived *atomic.Value
}

// A Phase tells where a sandbox is in its life.
type Phase string

// The phases.
const (
	Created  Phase = "created"  // it has no process yet
	Running  Phase = "running"  // its process has not ended
	Orphaned Phase = "orphaned" // its process has not ended, and its state file is gone
	Ended    Phase = "ended"
)

// Running reports whether the process of the sandbox has not ended.
func (s *Sandbox) Running() bool { return s.Phase == Running || s.Phase == Orphaned }

// HasMetrics reports whether the snapshot has metrics that the sandbox reported.
func (s *Sandbox) HasMetrics() bool { return s.Reported.Schema != nil }

// A Query is the result of the last query for a sandbox's metrics.
type Query struct {
	Failure *failure.Failure // why a running sandbox has no metrics; nil: it has metrics, or is not running
	Replied time.Time        // when the sandbox took its samples, by the host's clock; zero without metrics
	Took    time.Duration    // from connecting to the end of the reply or its failure; 0: not known
}

// An Identity is the part of a Sandbox that stays the same until its state files change. Snapshots
// share it.
type Identity struct {
	Labels     *Labels
	Root       string // path of the runtime root
	CreatedAt  time.Time
	PID        int
	Release    string      // of the runsc that started it; empty: not known
	Status     string      // from the state file, which still has "running" after the sandbox has ended
	Containers []Container // the root container first, the others by ID
	Deleted    []Container // those that were deleted while the sandbox stayed, in the order of that; the last ones only
	PodCgroup  string      // path of the pod's cgroup in the OCI spec of the root container; empty: none
	Spec       *Spec       // nil: its texts are too large
}

// A Spec has what state files and OCI specs tell about a sandbox for its description only.
type Spec struct {
	Metadata     []Pair
	Capabilities []string // of all containers, without CAP_, sorted
	OCIVersion   string   // INCONSISTENT if containers have different ones
	RunsAsUID0   bool
	NVProxy      bool
	TPUProxy     bool
}

// A Pair is a name with a value; both may be any bytes.
type Pair struct{ Name, Value string }

// A Container is one of a sandbox's containers. Except for its ID, texts may have any bytes, and are
// empty if there is none.
type Container struct {
	ID        string
	Status    string
	Name      string // in Kubernetes
	Image     string
	CreatedAt time.Time
	Pause     bool // it only holds the namespaces of a pod

	// From the OCI spec; 0: none.
	Cgroup      string // path
	CPUQuota    int64  // in microseconds per CPUPeriod
	CPUPeriod   int64  // in microseconds
	CPUShares   int64
	CPULimit    float64 // in cores
	MemoryLimit int64   // in bytes
}

// Label returns the name of the container, or its ID if it has none.
func (c *Container) Label() string { return cmp.Or(c.Name, c.ID) }
