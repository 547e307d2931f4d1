package collect

import (
	"os"
	"sync/atomic"

	"github.com/sandmeter/sandmeter/internal/fact"
	"github.com/sandmeter/sandmeter/internal/proof"
	"github.com/sandmeter/sandmeter/internal/state"
)

// newLife begins a life, and begins to count it. isNew: what appears in the runtime root has appeared while
// the server ran. A sandbox that is older than the server and has ended already is nothing to record.
func (inv *inventory) newLife(facts *state.Sandbox, isNew bool, found sightings) *life {
	inv.total++
	l := &life{env: inv.env, home: &inv.home, holders: inv.holders, ends: inv.ends, seen: inv.total, process: inv.watcher.None(),
		derived: new(atomic.Value), last: new(atomic.Pointer[finalReading])}
	l.reset()
	l.learn(facts, &inv.schemas, found)
	if !isNew || l.process.BeganBefore(os.Getpid()) {
		l.origin = older
	}
	if l.origin == older && l.now() != created && !l.runs() {
		l.origin = stale
	}
	if ledger := inv.options.Totals; ledger != nil && l.origin != stale {
		l.totals = ledger.Begin(ledger.Group(facts.Namespace, facts.Containers[0].Spec.Annotation), l.origin == older)
	}
	l.logAppeared()
	return l
}

// learn updates the life from its state files, whose registration is compiled. found has the process if
// needsProcess.
func (l *life) learn(facts *state.Sandbox, schemas *schemas, found sightings) {
	otherProcess := l.facts == nil || l.hasOtherProcess(facts)
	if l.facts != nil && otherProcess {
		l.release()
		l.reset()
		l.borrowed = nil // another runsc may have restored it
	}
	l.facts = facts
	l.use(schemas.of(l.registration()))
	united := unite(facts)
	l.refused = checkTexts(facts, &united)
	deleted := deletedFrom(l.identity, facts)
	l.identity = identify(facts, l.home)
	if l.refused == nil {
		l.identity.Labels.Namespace, l.identity.Labels.Pod = facts.Namespace, facts.PodName
		l.identity.Spec = describe(facts, &united)
	}
	l.identity.Deleted = deleted
	l.identity.PID = l.process.PID()
	l.address = proof.AddressOf(facts, l.home.path)
	if otherProcess {
		l.observe(found)
	}
	if account := l.usage.account.Load(); account != nil {
		account.Update(l.subject())
	}
	if l.options.Usage { // else it takes nothing but memory
		l.usage.reported.learn(facts)
	}
}

// hasOtherProcess reports whether the process of the state files is not the life's, which runs.
func (l *life) hasOtherProcess(facts *state.Sandbox) bool {
	return l.now().lives() && l.state != unregistered && (l.facts.PID != facts.PID || l.facts.ControlSocket != facts.ControlSocket)
}

// needsProcess reports whether to look for the process of a sandbox before its state files are taken over.
// l is the life that has the state file until now, or nil.
func needsProcess(l *life, facts *state.Sandbox) bool {
	switch {
	case l == nil, !l.is(facts):
		return facts.PID > 0
	case l.facts != facts && l.hasOtherProcess(facts):
		return facts.PID > 0 || l.state != created
	}
	return l.now() == unproven
}

// observe begins to watch the sandbox's process, if there is one.
func (l *life) observe(found sightings) {
	l.build = nil
	l.last = new(atomic.Pointer[finalReading])
	l.process = l.watcher.None()
	if l.facts.PID > 0 || l.state != created {
		l.take(found.of(l.facts))
	}
}

// use verifies replies with a registration from now on.
func (l *life) use(compiled *compiled) {
	if compiled != l.compiled {
		l.reset()
	}
	l.compiled = compiled
}

// registration returns the registration that replies are verified with; nil: none.
func (l *life) registration() *state.Registration {
	if l.facts.Registration != nil {
		return l.facts.Registration
	}
	return l.borrowed
}

// forget drops the values of a life that is not in snapshots any more.
func (l *life) forget() {
	l.reset()
	l.frozen, l.derived = nil, nil
	l.usage.close()
	l.usage.found, l.usage.reported, l.usage.last = fact.Reading{}, reported{}, nil
}
