package families

import (
	"slices"
	"strconv"
	"sync"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/snapshot"
)

// noLabels are those of sources whose samples have all labels in their label sets, and of the server.
var noLabels = new(snapshot.Labels)

func label(name, value string) snapshot.Label { return snapshot.Label{Name: name, Value: value} }

// noSet is a label set without labels.
var noSet = new(snapshot.LabelSet)

// shared has label sets with one label, which many samples have in common: capabilities, reasons,
// network interfaces, runtime roots.
var shared struct {
	sync.Mutex
	sets map[snapshot.Label]*snapshot.LabelSet
}

// maxShared limits the shared label sets. Linux has 41 capabilities, and a node has few names of
// interfaces and at most 500 runtime roots. Other values, which sandboxes can choose, are not worth the
// memory.
const maxShared = 1024

// labeled returns the label set with one label.
func labeled(name, value string) *snapshot.LabelSet {
	l := label(name, value)
	shared.Lock()
	defer shared.Unlock()
	set := shared.sets[l]
	if set == nil {
		set = snapshot.NewLabelSet(l)
		if shared.sets == nil {
			shared.sets = make(map[snapshot.Label]*snapshot.LabelSet)
		}
		if len(shared.sets) < maxShared {
			shared.sets[l] = set
		}
	}
	return set
}

// lifeLabels are the label sets of one life of a sandbox. They are made anew when the facts behind them
// change.
type lifeLabels struct {
	identity     *snapshot.Identity
	capabilities []*snapshot.LabelSet
	metadata     *snapshot.LabelSet
	spec         *snapshot.LabelSet
	containers   []*snapshot.LabelSet // by index in the identity
	memory       []*snapshot.LabelSet // by index in the identity, with how memory is divided
	equalMemory  bool                 // in memory
	shares       []*snapshot.LabelSet // by index in the usage
	interfaces   []*snapshot.LabelSet // by index in the usage
	cadvisor     *cadvisorRows        // nil: not made yet

	outcome *snapshot.LabelSet
	end     *snapshot.End // in outcome
}

// update returns the label sets for facts. l are those for earlier facts; it is not changed.
// cadvisor: with rows for the names of cAdvisor.
func (l *lifeLabels) update(s *snapshot.Sandbox, cadvisor bool) *lifeLabels {
	cadvisor = cadvisor && s.Usage != nil
	if l.fits(s) && (!cadvisor || l.cadvisor != nil) {
		return l
	}
	next := *l
	if l.identity != s.Identity {
		next = lifeLabels{identity: s.Identity, shares: l.shares, interfaces: l.interfaces}
		next.describe(s.Spec)
		for i := range s.Containers {
			next.containers = append(next.containers, containerSet(s.Containers[i].Label(), s.Containers[i].ID))
		}
	}
	if s.Usage != nil {
		next.updateUsage(s.Usage)
	}
	if cadvisor && next.cadvisor == nil {
		next.cadvisor = newCadvisorRows(s)
	}
	next.outcome, next.end = outcomeSet(s.End), s.End
	return &next
}

// fits reports whether the label sets are those for the facts.
func (l *lifeLabels) fits(s *snapshot.Sandbox) bool {
	return l.identity == s.Identity && l.end == s.End &&
		(s.Usage == nil || l.fitsMemory(s.Usage) && l.fitsShares(s.Usage.Shares) && l.fitsInterfaces(s.Usage.Interfaces))
}

func (l *lifeLabels) fitsMemory(u *snapshot.Usage) bool {
	return u.Memory == nil || l.memory != nil && l.equalMemory == u.EqualMemory
}

func (l *lifeLabels) fitsShares(shares []snapshot.Share) bool {
	return slices.EqualFunc(l.shares, shares, func(set *snapshot.LabelSet, share snapshot.Share) bool {
		return set.Pairs[0].Value == share.Name && set.Pairs[1].Value == share.ID
	})
}

func (l *lifeLabels) fitsInterfaces(all []fact.Interface) bool {
	return slices.EqualFunc(l.interfaces, all, func(set *snapshot.LabelSet, i fact.Interface) bool { return set.Pairs[0].Value == i.Name })
}

// describe makes the sets that describe the sandbox.
func (l *lifeLabels) describe(spec *snapshot.Spec) {
	if spec == nil {
		return
	}
	for _, name := range spec.Capabilities {
		l.capabilities = append(l.capabilities, labeled("capability", name))
	}
	var metadata []snapshot.Label
	for _, p := range spec.Metadata {
		if snapshot.FreeLabelName(p.Name) {
			metadata = append(metadata, snapshot.Label(p))
		}
	}
	l.metadata = snapshot.NewLabelSet(metadata...)
	l.spec = snapshot.NewLabelSet(
		label("hasuid0", strconv.FormatBool(spec.RunsAsUID0)),
		label("nvproxy", strconv.FormatBool(spec.NVProxy)),
		label("ociversion", spec.OCIVersion),
		label("tpuproxy", strconv.FormatBool(spec.TPUProxy)),
	)
}

func (l *lifeLabels) updateUsage(u *snapshot.Usage) {
	if !l.fitsMemory(u) {
		split := "none"
		if u.EqualMemory {
			split = "equal"
		}
		l.memory, l.equalMemory = nil, u.EqualMemory
		for i := range l.identity.Containers {
			c := &l.identity.Containers[i]
			l.memory = append(l.memory, containerSet(c.Label(), c.ID, label("split", split)))
		}
	}
	if !l.fitsShares(u.Shares) {
		l.shares = nil
		for _, share := range u.Shares {
			l.shares = append(l.shares, containerSet(share.Name, share.ID))
		}
	}
	if !l.fitsInterfaces(u.Interfaces) {
		l.interfaces, l.cadvisor = nil, nil
		for i := range u.Interfaces {
			l.interfaces = append(l.interfaces, labeled("interface", u.Interfaces[i].Name))
		}
	}
}

func containerSet(name, id string, more ...snapshot.Label) *snapshot.LabelSet {
	return snapshot.NewLabelSet(append([]snapshot.Label{label("container", name), label("container_id", id)}, more...)...)
}

// outcomeSet returns the labels of an end: also the exit status of a sandbox that failed, the signal
// that ended one that was killed, and whose limit of memory that was about. The first two are numbers, as in the status of a Kubernetes container, from
// which kube-state-metrics has its exit codes: numbers mean the same on all architectures that gVisor
// supports, and rules compare them.
func outcomeSet(e *snapshot.End) *snapshot.LabelSet {
	if e == nil {
		return nil
	}
	labels := []snapshot.Label{label("outcome", string(e.Outcome))}
	switch {
	case e.Outcome == snapshot.Failed:
		labels = append(labels, label("exit_code", strconv.Itoa(e.Code)))
	case e.Outcome == snapshot.Killed || e.Outcome == snapshot.OOMKilled:
		if e.OOMScope != "" {
			labels = append(labels, label("oom_scope", string(e.OOMScope)))
		}
		if e.Signal != 0 {
			labels = append(labels, label("signal", strconv.Itoa(e.Signal)))
		}
	}
	if len(labels) == 1 {
		return labeled("outcome", string(e.Outcome))
	}
	return snapshot.NewLabelSet(labels...)
}
