package collect

import (
	"log/slog"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/sandmeter/sandmeter/internal/clock"
	"github.com/sandmeter/sandmeter/internal/guard"
	"github.com/sandmeter/sandmeter/internal/registration"
	"github.com/sandmeter/sandmeter/internal/schema"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/internal/totals"
)

// MaxDuration is the longest time that a collection may take, even if its readers allow more.
// Sandboxes that it does not reach go first in the next one.
const MaxDuration = 5 * time.Second

// Options configure a Collector.
type Options struct {
	// Roots are the runtime roots: directories, and globs that are evaluated again for each
	// collection. At least one.
	Roots []string
	// MatchAddress limits the sandboxes to those that were created with this --metric-server. In
	// both addresses, %RUNTIME_ROOT% is replaced by the sandbox's root. Empty: every sandbox or, if
	// Registrations is nil, every sandbox that has a registration.
	MatchAddress string
	// Registrations finds the registrations of sandboxes that have none of their own. Nil: they
	// have no metrics.
	Registrations Registrations
	// OnlySandbox limits the sandboxes to the one with this ID, with any address and with or
	// without a registration. Empty: no limit.
	OnlySandbox string
	// HideOrphans leaves out sandboxes that run and have no state file any more.
	HideOrphans bool
	// Linger is how long a sandbox stays in snapshots after its end was observed, whether or not its
	// state file remains. LingerMax is how many do at most: the first to have ended leave first.
	Linger    time.Duration
	LingerMax int
	// MaxWithSeries is how many sandboxes have series on pages, the oldest first; 0: all.
	MaxWithSeries int
	// Totals counts over all sandboxes, live and ended. The collector calls it from one goroutine at
	// a time. Nil: nothing is counted.
	Totals *totals.Ledger
	// GroupAnnotation is the key of the annotation in the OCI specs of root containers by which Totals
	// are grouped. Empty: by none.
	GroupAnnotation string
	// Ended receives each sandbox once per life, with its End and its last values, after it ended or
	// was unregistered, one call at a time. It must not block, and must not change the sandbox, whose
	// parts snapshots share. It may be called until Close returns. Nil: no call.
	Ended func(snapshot.Sandbox)
	// FinalLog is the value of runsc's flag --final-metrics-log, which
	// config.CheckFinalMetricsLog accepts. Empty: sandboxes leave no last metrics.
	FinalLog string
	// Usage adds what the host measures of each running sandbox, and what of that its containers
	// used, for which each sandbox is asked.
	Usage bool
	// UsageDetail also adds the memory and processes of each container. Each container takes a query.
	UsageDetail bool
	// HostRoot is the directory below which the host's proc and cgroups are read for that. Empty: /.
	HostRoot       string
	Zeros          schema.Zeros  // counters that are on pages as 0 if a sandbox did not send them
	SandboxTimeout time.Duration // longest time that one sandbox may take to reply
	Logger         *slog.Logger
	Clock          clock.Clock // nil: the machine's
	// Guard is for calls that touch runtime roots. Nil: the collector has its own.
	Guard *guard.Guard
	// DropPrivileges is called after New has opened what needs privileges, and before anything touches a
	// root. Its error is New's. Nil: no call.
	DropPrivileges func() error
	// Counters returns the server's counters of everything outside of collections. It must be safe for
	// concurrent use and must not block. Nil: nothing.
	Counters func() snapshot.Counters
	// Process returns the families about the server process, which become a part of snapshots. The
	// caller does not change them. Nil: none.
	Process func() []*dto.MetricFamily
}

// Registrations finds the registration of a build of runsc, in a source that no sandbox controls.
// Find is called for each sandbox without a registration, once per collection. It must not block,
// and returns what it knows: a registration, or why there is none, which wraps
// [registration.ErrSearching] as long as that can change in a moment.
type Registrations interface {
	Find(registration.Build) (*state.Registration, error)
}

// A Plan has the sandboxes and the deadlines of a collection.
type Plan struct {
	// Sandboxes selects the sandboxes to query, which are those in the snapshot and in its cuts. For
	// the others, the server's own families about all sandboxes have the result of the last
	// collection that queried them.
	Sandboxes snapshot.Union
	// Deadline is when the collection ends at the latest. It also ends at the latest MaxDuration
	// after its start.
	Deadline time.Time
	// Cuts are the times, in order, of cuts: snapshots of the replies verified by then. In a cut,
	// sandboxes that have not replied yet have failed with reason out_of_time. OnCut receives each
	// cut. It is not called for times after the end of the collection. It must not block, and is
	// called on another goroutine than Collect's, one call at a time and never after Collect has
	// returned. A cut is immutable and may be kept.
	Cuts  []time.Time
	OnCut func(i int, cut *snapshot.Snapshot)
}

// until returns when a collection ends that began at a time.
func (p *Plan) until(began time.Time) time.Time {
	if end := began.Add(MaxDuration); end.Before(p.Deadline) {
		return end
	}
	return p.Deadline
}
