package collect

import (
	"slices"

	"github.com/sandmeter/sandmeter/internal/claims"
	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/snapshot"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// reported has a sandbox's claims about its use of resources, and their tally. The collecting goroutine
// calls begin before the queries. While they run, the loop's goroutine owns it.
type reported struct {
	containers []verify.Container // of the state files, in their order; at most verify.MaxContainers
	mounted    bool               // a container has cgroups mounted, so the sandbox knows the memory of each

	// Of the collection under way, or the last one.
	detailed  bool               // each container is queried
	known     bool               // the sandbox has reported CPU time
	failure   *failure.Failure   // why it has not reported all
	claims    []claims.Container // by container, with the names of labels
	processes []fact.Figure      // by container

	tally *claims.Tally // nil: sandboxes are not measured, or the life is over

	// Already logged.
	loggedFailure     failure.Reason
	loggedUnknown     bool
	loggedDifferences [claims.Subjects]bool
}

// learn takes over the containers of the state files.
func (r *reported) learn(facts *state.Sandbox) {
	if r.tally == nil {
		r.tally = new(claims.Tally)
	}
	r.mounted = slices.ContainsFunc(facts.Containers, func(c *state.Container) bool { return c.Spec.CgroupMount })
	r.containers, r.claims = nil, nil
	for _, c := range facts.Containers[:min(len(facts.Containers), verify.MaxContainers)] {
		r.containers = append(r.containers, verify.Container{ID: c.ID, Name: c.Spec.ContainerName})
		r.claims = append(r.claims, claims.Container{ID: c.ID, Name: containerName(c)})
	}
	// Where a container was started again, the name is that of the last one.
	for i, c := range r.containers {
		later := func(j int) bool { return facts.Containers[j].CreatedAt.After(facts.Containers[i].CreatedAt) }
		for j := range r.containers {
			if r.containers[j].Name == c.Name && later(j) {
				r.containers[i].Name = ""
			}
		}
	}
	r.begin()
}

// begin drops the claims of the last collection.
func (r *reported) begin() {
	r.known, r.failure = false, nil
	for i := range r.claims {
		r.claims[i].CPU, r.claims[i].Memory = fact.Figure{}, fact.Figure{}
	}
	r.processes = append(r.processes[:0], make([]fact.Figure, len(r.claims))...)
}

// fail records why the sandbox has not reported all.
func (r *reported) fail(f *failure.Failure) {
	if r.failure == nil {
		r.failure = f
	}
}

// news returns the failure if it has not been logged, and is about the sandbox's usage alone.
func (r *reported) news(metrics *failure.Failure) *failure.Failure {
	if r.failure == nil || metrics != nil || isShared(r.failure.Reason) || r.failure.Reason == r.loggedFailure {
		return nil
	}
	return r.failure
}

// differences returns the differences between the sandbox's claims and the host's figures.
func (r *reported) differences() snapshot.Differences {
	if r.tally == nil {
		return snapshot.Differences{}
	}
	ratio := func(of claims.Subject) snapshot.Ratio {
		v := r.tally.Verdict(of)
		return snapshot.Ratio{Value: v.Ratio, Known: v.Known}
	}
	return snapshot.Differences{CPU: ratio(claims.CPU), Memory: ratio(claims.Memory), NetworkTransmit: ratio(claims.Network)}
}
