package collect

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sandmeter/sandmeter/internal/claims"
	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/registration"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/internal/totals"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// sandbox is one life of a sandbox. It begins when its state file is found. It ends with its process
// or its state file, whichever is first, and it stays until it is out of snapshots and its state file
// is gone or is another life's. The collector's mu guards it, except for what last and usage.account
// hold.
type sandbox struct {
	inventory *inventory
	facts     *state.Sandbox
	identity  *snapshot.Identity
	address   *control.Address
	build     registration.Build
	borrowed  *state.Registration // used if it has no registration of its own; nil: none
	borrowErr error               // why none could be borrowed; nil: it was, or was not tried
	compiled  *compiled           // nil: no registration
	process   *host.Process
	presence  presence
	level     int              // index at which the process has the PID in the state file
	presumed  bool             // the process was visible without having been asked
	unproven  *failure.Failure // why it is not known which process is the sandbox's; nil: it is
	refused   *failure.Failure // set if the texts of its state files are too large for labels

	derived *atomic.Value // for stages after the snapshot; see snapshot.Sandbox

	kinds    []kind      // its queries
	event    *eventQuery // follows the export query
	baseline verify.Baseline
	textSize int             // approximate number of bytes of its metrics on a page, without zeros that it did not send
	zeroSize int             // of those zeros
	measured snapshot.Source // the metrics for which textSize and zeroSize are
	savings  verify.Savings  // reported by the sandbox; zero: not yet

	usage usage

	epoch    int                           // changes when replies to earlier queries do not count any more
	commits  int                           // replies that became the baseline
	totals   *totals.Life                  // nil: it is not counted
	last     *atomic.Pointer[finalReading] // of its process, from where the end is observed; see watchEnd
	end      *snapshot.End                 // nil: its life is not closed
	frozen   *frozen                       // its last values; nil: not made yet
	older    bool                          // it may be older than the server
	seen     int                           // its number in the order of first sight
	arrived  bool                          // a first sample was begun when its state file appeared
	vanished bool                          // its state file went before its end was observed
	stale    bool                          // it had ended before the server began, so there is nothing to count and record
	finished bool                          // its end is closed, and nothing is held of its process
	hidden   bool                          // a client has unregistered it after its end
	lingers  bool                          // it is in the table's list of those that have ended
	dropped  bool                          // it is not in snapshots any more

	took      time.Duration    // of its export query in the last collection that selected it; 0: none has ended
	selected  bool             // by the collection under way, or the last one
	pending   bool             // its export query has neither succeeded nor failed yet
	failure   *failure.Failure // why it has no metrics as of the last collection that selected it; nil: it has
	before    *failure.Failure // failure as of the collection before that
	logged    failure.Reason   // reason of the last failure that was logged; empty: none, or the recovery was logged
	logBudget logBudget
}

// newSandbox returns a sandbox without facts; call learn next.
func newSandbox(inv *inventory) *sandbox {
	s := &sandbox{inventory: inv, derived: new(atomic.Value), last: new(atomic.Pointer[finalReading])}
	s.reset()
	return s
}

// is reports whether facts are about the same life of the sandbox.
func (s *sandbox) is(facts *state.Sandbox) bool {
	restarted := s.final() != nil && facts.PID > 0 && facts.PID != s.facts.PID
	return s.facts.CreatedAt.Equal(facts.CreatedAt) && !restarted
}

// sampled reports whether the sandbox has a verified reply.
func (s *sandbox) sampled() bool { return !s.baseline.When.IsZero() }

// unregistered reports whether a client has unregistered the sandbox.
func (s *sandbox) unregistered() bool {
	return s.hidden || s.end != nil && s.end.Outcome == snapshot.Unregistered
}

// final returns what was read when the sandbox ended; nil: its end has not been observed.
func (s *sandbox) final() *finalReading { return s.last.Load() }

// learn updates the sandbox from its state files.
func (s *sandbox) learn(facts *state.Sandbox) {
	t := s.inventory.table
	otherProcess := s.process == nil || s.final() == nil && (s.facts.PID != facts.PID || s.facts.ControlSocket != facts.ControlSocket)
	if s.process != nil && otherProcess {
		t.disclaim(s)
		s.process.Release()
		s.reset()
		s.borrowed = nil // another runsc may have restored it
	}
	s.facts = facts
	s.use(t.compile(s.registration()))
	s.refused = checkTexts(facts)
	deleted := s.deletedBy(facts)
	s.identity = identify(facts, s.inventory, s.refused == nil)
	s.identity.Deleted = deleted
	s.address = addressOf(facts, s.inventory.path)
	if otherProcess {
		s.build = registration.Build{Release: releaseOf(facts.Metadata)}
		s.observe()
	} else {
		s.identity.PID = s.process.PID()
	}
	if account := s.usage.account.Load(); account != nil {
		account.Update(s.subject())
	}
	s.usage.reported.learn(facts)
}

// release releases what is held of the sandbox's process and cgroups.
func (s *sandbox) release() {
	s.inventory.table.disclaim(s)
	s.process.Release()
	s.usage.close()
}

// use verifies replies with a registration from now on.
func (s *sandbox) use(compiled *compiled) {
	if compiled != s.compiled {
		s.reset()
	}
	s.compiled = compiled
}

// identify returns the sandbox's identity. Without texts, it has only the labels sandbox, iteration
// and runtime_root.
func identify(facts *state.Sandbox, inv *inventory, texts bool) *snapshot.Identity {
	id := &snapshot.Identity{
		Labels:    &snapshot.Labels{Iteration: state.Iteration(facts.ID, facts.CreatedAt), RuntimeRoot: inv.label, Sandbox: facts.ID},
		Root:      inv.path,
		CreatedAt: facts.CreatedAt,
		Status:    facts.Status,

		Release:      labelText(releaseOf(facts.Metadata).Version, maxName),
		MetricServer: facts.MetricServer,
	}
	if texts {
		id.Labels.Namespace, id.Labels.Pod = facts.Namespace, facts.PodName
		id.Spec = describe(facts)
	}
	for _, c := range facts.Containers {
		id.Containers = append(id.Containers, identifyContainer(c))
	}
	id.PodCgroup = labelText(facts.Containers[0].Spec.PodCgroup(), maxPath)
	return id
}

// describe returns the description of the sandbox by its state files.
func describe(facts *state.Sandbox) *snapshot.Spec {
	united := unite(facts)
	spec := &snapshot.Spec{Capabilities: united.Capabilities, OCIVersion: united.OCIVersion, RunsAsUID0: united.RunsAsUID0,
		NVProxy: united.NVProxy, TPUProxy: united.TPUProxy}
	for _, p := range facts.Metadata {
		spec.Metadata = append(spec.Metadata, snapshot.Pair(p))
	}
	return spec
}

// deletedBy returns the containers that have been deleted if the state files are these. containerd
// deletes those of a pod before the pod's sandbox ends, so the others may be all of them.
func (s *sandbox) deletedBy(facts *state.Sandbox) (deleted []snapshot.Container) {
	if s.identity == nil {
		return nil
	}
	for _, c := range slices.Concat(s.identity.Deleted, s.identity.Containers) {
		if !slices.ContainsFunc(facts.Containers, func(there *state.Container) bool { return there.ID == c.ID }) {
			deleted = append(deleted, c)
		}
	}
	return deleted[max(0, len(deleted)-claims.MaxGone):]
}

// identifyContainer returns what the state file tells about a container.
func identifyContainer(c *state.Container) snapshot.Container {
	return snapshot.Container{
		ID:          c.ID,
		Status:      c.Status,
		Name:        labelText(c.Spec.ContainerName, maxName),
		Image:       labelText(c.Spec.Image, maxPath),
		CreatedAt:   c.CreatedAt,
		Pause:       c.Spec.Pause,
		Cgroup:      labelText(c.Spec.Cgroup(), maxPath),
		CPUQuota:    c.Spec.CPUQuota,
		CPUPeriod:   c.Spec.CPUPeriod,
		CPUShares:   c.Spec.CPUShares,
		CPULimit:    c.Spec.CPULimit,
		MemoryLimit: c.Spec.MemoryLimit,
	}
}

// reset drops the results of all queries, and the time budgets, because the sandbox has a new
// process or another registration: the next reply must not be compared with replies from before.
func (s *sandbox) reset() {
	s.measured = snapshot.Source{}
	s.baseline, s.savings, s.textSize, s.failure = verify.Baseline{}, verify.Savings{}, 0, nil
	with := query{collector: s.inventory.table.collector, sandbox: s}
	s.kinds = []kind{&exportQuery{query: with}, &savingsQuery{query: with}}
	s.event = &eventQuery{query: with}
	s.epoch++
	s.usage.reported.detailed = with.collector.options.UsageDetail
}

var errNotInstrumented = errors.New("no metrics registered")

// prepare resets the sandbox for a collection, and reports whether to query it. A sandbox that is
// not selected keeps its failure, unless its state files alone are the reason for one.
func (s *sandbox) prepare() bool {
	flaw := s.flaw()
	if s.selected || flaw != nil {
		s.failure, s.took = flaw, 0
	}
	s.pending = s.selected && s.running() && flaw == nil && s.end == nil
	return s.pending
}

// flaw returns why the state files do not allow a query, or nil.
func (s *sandbox) flaw() *failure.Failure {
	switch {
	case !s.running():
		return nil
	case s.refused != nil:
		return s.refused
	case s.presence == unproven:
		return s.unproven
	case s.compiled == nil && errors.Is(s.borrowErr, registration.ErrIncomplete):
		return failure.New(failure.RegistrationIncomplete, s.borrowErr)
	case s.compiled == nil:
		return failure.New(failure.NotInstrumented, cmp.Or(s.borrowErr, errNotInstrumented))
	}
	return s.compiled.failure
}

// maxShare limits the bytes of the page that one sandbox may take. It does not limit zeros, which
// depend on the registration and not on the sandbox. All series that runsc registers,
// with the longest labels that Kubernetes allows, fit into it.
const maxShare = 2 << 20

// commit makes a verified reply the baseline. It returns a failure if the metrics take more than
// maxShare.
func (s *sandbox) commit(next verify.Baseline) *failure.Failure {
	s.baseline = next
	s.commits++
	source := s.reported()
	source.Measure(&s.measured)
	s.measured, s.textSize, s.zeroSize = source, source.TextSize, source.ZeroSize
	if s.textSize > maxShare {
		return failure.Newf(failure.TooLong, "the metrics take %d bytes of the page; the limit is %d", s.textSize, maxShare)
	}
	return nil
}

// saved returns the time that the restore saved.
func (s *sandbox) saved() (cpu, wall time.Duration) {
	switch {
	case !s.facts.Restored:
		return 0, 0
	case s.facts.CPUSaved != 0 || s.facts.WallSaved != 0:
		return s.facts.CPUSaved, s.facts.WallSaved
	}
	return s.savings.CPU, s.savings.Wall
}

// versionInconsistent is the OCI version of a sandbox whose containers have different versions.
const versionInconsistent = "INCONSISTENT"

// unite merges the specs of all containers of the sandbox. Capabilities lose the prefix CAP_.
func unite(facts *state.Sandbox) state.Spec {
	var united state.Spec
	for i, c := range facts.Containers {
		spec := &c.Spec
		united.RunsAsUID0 = united.RunsAsUID0 || spec.RunsAsUID0
		united.NVProxy = united.NVProxy || spec.NVProxy
		united.TPUProxy = united.TPUProxy || spec.TPUProxy
		for _, name := range spec.Capabilities {
			united.Capabilities = append(united.Capabilities, strings.TrimPrefix(name, "CAP_"))
		}
		switch {
		case i == 0:
			united.OCIVersion = spec.OCIVersion // which may be empty
		case united.OCIVersion != spec.OCIVersion:
			united.OCIVersion = versionInconsistent
		}
	}
	slices.Sort(united.Capabilities)
	united.Capabilities = slices.Compact(united.Capabilities)
	return united
}
