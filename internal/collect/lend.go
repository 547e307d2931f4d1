package collect

import (
	"slices"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/registration"
	"github.com/sandmeter/sandmeter/internal/state"
)

// lend gives each of the lives that need a registration the registration of another one of the same build,
// or one that Options.Registrations finds. all are the lives that may lend.
func (s *schemas) lend(all []*life, to ...*life) {
	known := make(map[*home]lenders)
	for _, l := range to {
		if l.options.Registrations == nil || !l.borrows() {
			continue
		}
		if known[l.home] == nil {
			known[l.home] = newLenders(all, l.home)
		}
		r := known[l.home].find(l.buildOf())
		if r == nil {
			r, l.borrowErr = l.options.Registrations.Find(l.buildOf())
		}
		if r != nil {
			l.borrowed = r
			l.use(s.of(r))
		}
	}
}

// unfit are the failures after which a sandbox borrows another registration.
var unfit = []failure.Reason{failure.RegistrationRefused, failure.RegistrationMismatch, failure.RegistrationIncomplete, failure.TooLong}

// borrows reports whether the sandbox needs a registration. One that it has borrowed it keeps,
// whatever becomes of the lender, unless it does not fit.
func (l *life) borrows() bool {
	fits := l.failure == nil || !slices.Contains(unfit, l.failure.Reason)
	now := l.now()
	return l.facts.Registration == nil && now.runs() && now != unproven && (l.borrowed == nil || !fits)
}

// lenders are the registrations of sandboxes of one runtime root, by the host.File that their
// processes run and by registration.Release. Roots do not lend to each other, because others may be able to
// write one of them.
type lenders map[any]*state.Registration

func newLenders(lives []*life, of *home) lenders {
	known := make(lenders)
	for _, l := range lives {
		if r := l.facts.Registration; r != nil && l.compiled.schema != nil && l.home == of && l.state != created && l.state != unproven {
			build := l.buildOf()
			known[build.Sentry.File], known[build.Release] = r, r
		}
	}
	return known
}

// find returns the registration of a build, or nil. The file decides. Only if it is not known, the
// release does.
func (l lenders) find(b registration.Build) *state.Registration {
	switch {
	case b.Sentry.File != host.File{}:
		return l[b.Sentry.File]
	case b.Release != registration.Release{}:
		return l[b.Release]
	}
	return nil
}
