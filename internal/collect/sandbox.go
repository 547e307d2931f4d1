package collect

import (
	"errors"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sandmeter/sandmeter/internal/control"
	"github.com/sandmeter/sandmeter/internal/expo"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// errNotInstrumented is the failure of a sandbox that named our address and registered no metrics.
var errNotInstrumented = errors.New("it registered no metrics")

// sandbox is one life of a sandbox, from the first scrape that found its state file to the last.
type sandbox struct {
	facts    state.Sandbox
	labels   *expo.Labels
	address  *control.Address
	compiled *compiled // nil: nothing was registered
	process  *state.Process
	own      ownLabels
	refused  error // why its state files' texts are no labels; nil: they are

	baseline verify.Baseline
	savings  verify.Savings // as the sandbox told; zero: not yet
	patience patience
	failure  error // why it has no metrics in this scrape
	before   error // why it had none in the last one
	logged   error // the failure that the log has
	mention  mention

	savingsPatience patience
}

// ownLabels are the label blocks of the server's own series of one sandbox.
type ownLabels struct {
	plain        string
	metadata     string
	spec         string
	capabilities []capability
}

// capability is a capability by its name without CAP_.
type capability struct{ name, labels string }

func newSandbox(facts state.Sandbox) *sandbox {
	r := facts.Root
	return &sandbox{process: state.OpenProcess(r.Sandbox.PID, r.Sandbox.StartTime)}
}

// is reports whether facts are about the same life of the same sandbox.
func (s *sandbox) is(facts state.Sandbox) bool {
	return s.facts.Root.CreatedAt.Equal(facts.Root.CreatedAt)
}

// learn takes in what the state files say now.
func (s *sandbox) learn(facts state.Sandbox, rootDir string, compiled *compiled) {
	r := facts.Root
	if s.process.PID != r.Sandbox.PID {
		s.process.Close()
		s.process = state.OpenProcess(r.Sandbox.PID, r.Sandbox.StartTime)
		s.forget()
	}
	if compiled != s.compiled {
		s.forget()
	}
	s.facts = facts
	s.compiled = compiled
	s.refused = checkTexts(&facts)
	namespace, pod := r.Sandbox.Namespace, r.Sandbox.PodName
	if s.refused != nil {
		namespace, pod = "", "" // what is left of it on the page has its ID
	}
	s.labels = expo.NewLabels(state.Iteration(r.ID, r.CreatedAt), namespace, pod, r.ID)
	s.address = control.NewAddress(r.Sandbox.ControlSocket, filepath.Join(rootDir, "runsc-"+r.ID+".sock"))
	s.own = ownLabels{plain: s.labels.Block()}
	if s.refused == nil {
		s.own = newOwnLabels(s.labels, &facts)
	}
}

// forget forgets what another process said, or one that had registered other metrics: nothing can be held against it.
func (s *sandbox) forget() {
	s.baseline, s.savings = verify.Baseline{}, verify.Savings{}
	s.patience, s.savingsPatience = patience{}, patience{}
}

func (s *sandbox) running() bool { return !s.process.Ended() }

// prepare readies the sandbox for being asked, and reports whether it can be.
func (s *sandbox) prepare() bool {
	s.failure = nil
	switch {
	case !s.running():
		return false
	case s.refused != nil:
		s.failure = s.refused
	case s.compiled == nil:
		s.failure = errNotInstrumented
	case s.compiled.err != nil:
		s.failure = s.compiled.err
	}
	return s.failure == nil
}

// answered reports whether the sandbox has metrics in this scrape.
func (s *sandbox) answered() bool { return s.running() && s.failure == nil }

// maxReply is how long the sandbox's answer may be: its largest honest one and a quarter.
func (s *sandbox) maxReply() int {
	largest := s.compiled.schema.MaxReply
	return min(largest+largest/4, maxReply)
}

// needsSavings reports whether the sandbox has to be asked what its restoring saved: until one of the two numbers is not zero.
func (s *sandbox) needsSavings() bool {
	f := &s.facts.Root.Sandbox
	return f.Restored && f.CPUSaved == 0 && f.WallSaved == 0 && s.savings == verify.Savings{}
}

// saved returns what restoring saved.
func (s *sandbox) saved() (cpu, wall time.Duration) {
	f := &s.facts.Root.Sandbox
	switch {
	case !f.Restored:
		return 0, 0
	case f.CPUSaved != 0 || f.WallSaved != 0:
		return f.CPUSaved, f.WallSaved
	}
	return s.savings.CPU, s.savings.Wall
}

func newOwnLabels(l *expo.Labels, facts *state.Sandbox) ownLabels {
	own := ownLabels{plain: l.Block()}
	var metadata []expo.Label
	for _, p := range facts.Root.Sandbox.Metadata {
		if expo.FreeLabelName(p.Name) {
			metadata = append(metadata, expo.Label(p))
		}
	}
	own.metadata = l.Block(metadata...)
	spec := unite(facts)
	own.spec = l.Block(
		expo.Label{Name: "hasuid0", Value: strconv.FormatBool(spec.RunsAsUID0)},
		expo.Label{Name: "ociversion", Value: spec.OCIVersion},
		expo.Label{Name: "nvproxy", Value: strconv.FormatBool(spec.NVProxy)},
		expo.Label{Name: "tpuproxy", Value: strconv.FormatBool(spec.TPUProxy)},
	)
	for _, name := range spec.Capabilities {
		own.capabilities = append(own.capabilities, capability{name, l.Block(expo.Label{Name: "capability", Value: name})})
	}
	return own
}

// OCI versions of a sandbox whose containers have none, or not the same.
const (
	versionUnknown      = "UNKNOWN"
	versionInconsistent = "INCONSISTENT"
)

// unite returns what the specs of all the sandbox's containers say together. Capabilities lose their CAP_.
func unite(facts *state.Sandbox) state.Spec {
	united := facts.Root.Spec
	united.OCIVersion = ""
	united.Capabilities = nil
	for _, c := range append([]*state.Container{facts.Root}, facts.Others...) {
		spec := &c.Spec
		united.RunsAsUID0 = united.RunsAsUID0 || spec.RunsAsUID0
		united.NVProxy = united.NVProxy || spec.NVProxy
		united.TPUProxy = united.TPUProxy || spec.TPUProxy
		for _, name := range spec.Capabilities {
			united.Capabilities = append(united.Capabilities, strings.TrimPrefix(name, "CAP_"))
		}
		version := spec.OCIVersion
		if version == "" {
			version = versionUnknown
		}
		if united.OCIVersion == "" {
			united.OCIVersion = version
		} else if united.OCIVersion != version {
			united.OCIVersion = versionInconsistent
		}
	}
	slices.Sort(united.Capabilities)
	united.Capabilities = slices.Compact(united.Capabilities)
	return united
}
