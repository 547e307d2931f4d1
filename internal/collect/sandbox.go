package collect

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// sandbox is one life of a sandbox, from the first collection that found its state file to the last.
type sandbox struct {
	inventory *inventory
	facts     *state.Sandbox
	identity  *snapshot.Identity
	address   *control.Address
	compiled  *compiled // nil: nothing was registered
	process   *host.Process
	presence  presence
	refused   *failure.Failure // why its state files' texts are no labels; nil: they are

	described    []*snapshot.LabelSet // of the families that describe it
	capabilities int                  // how many of them are of capabilities
	own          snapshot.Source      // of the last snapshot: what the server says of it

	kinds    []kind // of queries
	baseline verify.Baseline
	textSize int            // about how many bytes of a page it takes
	savings  verify.Savings // as the sandbox reported; zero: it has not

	pending   bool             // it is being queried for its metrics, and nothing has come of it yet
	failure   *failure.Failure // why it has no metrics in this collection
	before    *failure.Failure // why it had none in the last one
	logged    failure.Reason   // of the failure that the log has
	logBudget logBudget
}

// newSandbox returns a sandbox that has to learn its facts.
func newSandbox(inv *inventory) *sandbox {
	s := &sandbox{inventory: inv}
	s.forget()
	return s
}

// is reports whether facts are about the same life of the same sandbox.
func (s *sandbox) is(facts *state.Sandbox) bool { return s.facts.CreatedAt.Equal(facts.CreatedAt) }

// learn takes in what the state files say now.
func (s *sandbox) learn(facts *state.Sandbox, compiled *compiled) {
	t := s.inventory.table
	otherProcess := s.process == nil || s.process.PID() != facts.PID
	if s.process != nil && otherProcess {
		s.process.Release()
		s.forget()
	}
	if compiled != s.compiled {
		s.forget()
	}
	s.facts, s.compiled = facts, compiled
	s.refused = checkTexts(facts)
	s.identity = identify(facts, s.inventory, s.refused == nil)
	s.address = addressOf(facts, s.inventory.path)
	if otherProcess {
		s.observe()
	}
	s.described, s.capabilities = nil, 0
	if s.refused == nil {
		s.described, s.capabilities = t.describe(s)
	}
}

// identify returns the sandbox's identity. One whose texts are refused has no labels but its ID, iteration and root.
func identify(facts *state.Sandbox, inv *inventory, texts bool) *snapshot.Identity {
	id := &snapshot.Identity{
		Labels:    &snapshot.Labels{Iteration: state.Iteration(facts.ID, facts.CreatedAt), RuntimeRoot: inv.label, Sandbox: facts.ID},
		Root:      inv.path,
		CreatedAt: facts.CreatedAt,
		PID:       facts.PID,
		Status:    facts.Status,
	}
	if texts {
		id.Labels.Namespace, id.Labels.Pod = facts.Namespace, facts.PodName
	}
	for _, c := range facts.Containers {
		id.Containers = append(id.Containers, snapshot.Container{ID: c.ID, Status: c.Status})
	}
	return id
}

// forget forgets what another process reported, or one that had registered other metrics: the next reply is not measured against it.
func (s *sandbox) forget() {
	s.baseline, s.savings = verify.Baseline{}, verify.Savings{}
	with := query{collector: s.inventory.table.collector, sandbox: s}
	s.kinds = []kind{&exportQuery{with}, &savingsQuery{with}}
}

var errNotInstrumented = errors.New("it registered no metrics")

// prepare readies the sandbox for a collection, and reports whether it can be queried.
func (s *sandbox) prepare() bool {
	s.failure = nil
	switch {
	case !s.running():
		return false
	case s.refused != nil:
		s.failure = s.refused
	case s.compiled == nil:
		s.failure = failure.New(failure.NotInstrumented, errNotInstrumented)
	case s.compiled.failure != nil:
		s.failure = s.compiled.failure
	}
	s.pending = s.failure == nil
	return s.pending
}

// maxShare bounds how much of the page one sandbox takes. All series that runsc registers, with the longest labels that Kubernetes allows,
// fit into it.
const maxShare = 2 << 20

// commit makes a verified reply the baseline, and returns the failure of a sandbox that takes more of the page than its share.
func (s *sandbox) commit(next verify.Baseline) *failure.Failure {
	s.baseline = next
	source := s.reported()
	if s.textSize = source.MeasureText(); s.textSize > maxShare {
		return failure.Newf(failure.TooLong, "its metrics would take %d bytes of the page, more than %d", s.textSize, maxShare)
	}
	return nil
}

// saved returns what restoring saved.
func (s *sandbox) saved() (cpu, wall time.Duration) {
	switch {
	case !s.facts.Restored:
		return 0, 0
	case s.facts.CPUSaved != 0 || s.facts.WallSaved != 0:
		return s.facts.CPUSaved, s.facts.WallSaved
	}
	return s.savings.CPU, s.savings.Wall
}

// versionInconsistent is the OCI version of a sandbox whose containers have not the same.
const versionInconsistent = "INCONSISTENT"

// unite returns what the specs of all the sandbox's containers say together. Capabilities lose their CAP_.
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
