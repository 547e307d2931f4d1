package collect

import (
	"errors"
	"slices"

	"github.com/sandmeter/sandmeter/internal/failure"
	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/registration"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/internal/verify"
)

// Registrations finds the registration of a build of runsc, in a source that no sandbox controls.
// Find is called for each sandbox without a registration, once per collection. It must not block,
// and returns what it knows: a registration, or why there is none, which wraps
// [registration.ErrSearching] as long as that can change in a moment.
type Registrations interface {
	Find(registration.Build) (*state.Registration, error)
}

// registration returns the registration that replies are verified with; nil: none.
func (s *sandbox) registration() *state.Registration {
	if s.facts.Registration != nil {
		return s.facts.Registration
	}
	return s.borrowed
}

// identifyBuild returns which runsc started the sandbox. Call it once for each process of it, which
// has to be visible.
func (s *sandbox) identifyBuild() registration.Build {
	build := registration.Build{Release: releaseOf(s.facts.Metadata)}
	if s.inventory.table.options.Registrations == nil {
		return build
	}
	if exe, err := s.process.Executable(); err == nil { // else it ended, or is not readable by this user
		build.Sentry = programOf(exe)
	}
	// The PIDs of gofers are of the namespace in which runsc ran.
	if gofer := s.facts.Containers[0].GoferPID; gofer > 0 && s.level == 0 && isOf(host.CommandLine(gofer), s.facts.ID) {
		if exe, err := host.ExecutableOf(gofer); err == nil {
			build.Runsc = programOf(exe)
		}
	}
	return build
}

// isOf reports whether a command line belongs to the gofer of the sandbox's root container.
func isOf(args []string, id string) bool {
	return len(args) > 0 && args[len(args)-1] == id && slices.Contains(args, "gofer")
}

func programOf(e host.Executable) registration.Executable {
	return registration.Executable{File: registration.File{Device: e.Device, Inode: e.Inode, Modified: e.Modified}, Path: e.Path}
}

// releaseOf returns the release in a state file; zero if it is not complete.
func releaseOf(metadata []state.Pair) registration.Release {
	var r registration.Release
	for _, p := range metadata {
		switch p.Name {
		case "version":
			r.Version = p.Value
		case "go":
			r.Go = p.Value
		case "cpuarch":
			r.Arch = p.Value
		}
	}
	if r.Version == "" || r.Go == "" || r.Arch == "" {
		return registration.Release{}
	}
	return r
}

// lend gives each sandbox that needs a registration that of another sandbox of the same build, or
// one that Options.Registrations finds.
func (t *table) lend() {
	if t.options.Registrations == nil || !slices.ContainsFunc(t.sorted, (*sandbox).borrows) {
		return
	}
	lenders := make(map[*inventory]lenders)
	for _, s := range t.sorted {
		if !s.borrows() {
			continue
		}
		if _, ok := lenders[s.inventory]; !ok {
			lenders[s.inventory] = newLenders(t.sorted, s.inventory)
		}
		t.lendFrom(lenders[s.inventory], s)
	}
}

// lendTo does the same for a single sandbox that is new.
func (t *table) lendTo(s *sandbox) {
	if t.options.Registrations == nil || !s.borrows() {
		return
	}
	t.lendFrom(newLenders(t.sorted, s.inventory), s)
}

// lendFrom gives a sandbox the registration of one of the lenders, or one that
// Options.Registrations finds.
func (t *table) lendFrom(l lenders, s *sandbox) {
	r := l.find(s.build)
	if r == nil {
		r, s.borrowErr = t.options.Registrations.Find(s.build)
	}
	if r != nil {
		s.borrowed = r
		s.use(t.compile(r))
	}
}

// unfit are the failures after which a sandbox borrows another registration.
var unfit = []failure.Reason{failure.RegistrationRefused, failure.RegistrationMismatch, failure.RegistrationIncomplete, failure.TooLong}

// borrows reports whether the sandbox needs a registration. One that it has borrowed it keeps,
// whatever becomes of the lender, unless it does not fit.
func (s *sandbox) borrows() bool {
	fits := s.failure == nil || !slices.Contains(unfit, s.failure.Reason)
	return s.facts.Registration == nil && s.running() && s.presence != unproven && (s.borrowed == nil || !fits)
}

// lenders are the registrations of sandboxes of one runtime root, by the file that their processes run
// and by release. Roots do not lend to each other, because others may be able to write one of them.
type lenders struct {
	byFile    map[registration.File]*state.Registration
	byRelease map[registration.Release]*state.Registration
}

func newLenders(sandboxes []*sandbox, of *inventory) lenders {
	l := lenders{make(map[registration.File]*state.Registration), make(map[registration.Release]*state.Registration)}
	for _, s := range sandboxes {
		if r := s.facts.Registration; r != nil && s.compiled.schema != nil && s.inventory == of && (s.presence == visible || s.presence == elsewhere) {
			l.byFile[s.build.Sentry.File] = r
			l.byRelease[s.build.Release] = r
		}
	}
	return l
}

// find returns the registration of a build, or nil. The file decides. Only if it is not known, the
// release does.
func (l lenders) find(b registration.Build) *state.Registration {
	switch {
	case b.Sentry.File != registration.File{}:
		return l.byFile[b.Sentry.File]
	case b.Release != registration.Release{}:
		return l.byRelease[b.Release]
	}
	return nil
}

// refuse returns the failure of a sandbox whose reply was refused. If its registration is borrowed,
// a reply that does not fit it may be an honest one of another build.
func (s *sandbox) refuse(err error) *failure.Failure {
	b, ok := errors.AsType[*verify.Breach](err)
	switch {
	case !ok || s.facts.Registration != nil || !b.Rule.OfRegistration():
	case b.Rule == verify.RuleUnregistered && s.borrowed.Printed && s.build.Separate():
		return failure.Newf(failure.RegistrationIncomplete, "runsc does not print all metrics of the kernel that it starts: %w", err)
	default:
		return failure.Newf(failure.RegistrationMismatch, "the registration of its build does not fit: %w", err)
	}
	return failure.New(failure.ReplyRefused, err)
}
