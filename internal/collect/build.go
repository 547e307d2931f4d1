package collect

import (
	"slices"

	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/registration"
)

// buildOf returns which runsc started the sandbox. It finds out once for each process.
func (l *life) buildOf() registration.Build {
	if l.build == nil {
		build := l.identifyBuild()
		l.build = &build
	}
	return *l.build
}

// prepareToLend identifies the build of a sandbox that has a registration, because its process no longer
// shows the build after its end, and another sandbox may need the registration then. It is done beside
// collections, so that no scrape waits for it.
func (l *life) prepareToLend() {
	if l.options.Registrations != nil && l.facts.Registration != nil && l.now() == running {
		l.buildOf()
	}
}

func (l *life) identifyBuild() registration.Build {
	build := registration.Build{Release: releaseOf(l.facts.Metadata)}
	if l.options.Registrations == nil {
		return build
	}
	build.Sentry, _ = l.process.Executable() // it may have ended, or not be readable by this user
	// The PIDs of gofers are of the namespace in which runsc ran.
	if gofer := l.facts.Containers[0].GoferPID; gofer > 0 && l.level == 0 && isOf(host.CommandLine(gofer), l.facts.ID) {
		process := l.watcher.Watch(gofer)
		build.Runsc, _ = process.Executable()
		process.Release()
	}
	return build
}

// isOf reports whether a command line belongs to the gofer of the sandbox's root container.
func isOf(args []string, id string) bool {
	return len(args) > 0 && args[len(args)-1] == id && slices.Contains(args, "gofer")
}
