package registration

import (
	"path/filepath"
	"strings"

	"github.com/sandmeter/sandmeter/internal/host"
)

// A Release is the version that runsc prints. Two builds may print the same one: builds from Go modules
// have no version.
type Release struct{ Version, Go, Arch string }

// noVersion is the version of a build from Go modules.
const noVersion = "VERSION_MISSING"

// isUnique reports whether all builds with the version have the same metrics, since gVisor released
// only one of them.
func (r Release) isUnique() bool { return r.Version != "" && r.Version != noVersion }

// matches reports whether a program of the release r may be of the release other, which has all
// parts. A program that gVisor's own build system has linked tells only its version.
func (r Release) matches(other Release) bool {
	if r.Go == "" {
		return r.isUnique() && r.Version == other.Version
	}
	return r == other
}

// A Build identifies the runsc that started a sandbox.
type Build struct {
	// Sentry is the program of the sandbox's process: gvisor_sentry or, if runsc is a single program,
	// runsc. Zero: not readable.
	Sentry host.Executable
	// Runsc is the program of the sandbox's gofer process, which is the runsc that started the
	// sandbox. Zero: not readable, or there is no gofer.
	Runsc   host.Executable
	Release Release // from the sandbox's state file; zero: not there
}

// The release directory of runsc. Next to runsc there is a directory with the other programs.
const (
	sidecarDir   = "gvisor-bin"
	sentryPrefix = "gvisor_sentry" // gvisor_sentry_plugin_stack is one, too
)

// Separate reports whether the sandbox's kernel is a program of its own, next to runsc. Then the list
// of metrics that runsc prints may lack some of the sandbox's.
func (b Build) Separate() bool {
	return strings.HasPrefix(filepath.Base(b.Sentry.Path), sentryPrefix)
}

// candidates returns the paths at which the runsc of the build may be, as its processes show them.
func (b Build) candidates() []string {
	var paths []string
	if b.Runsc.Path != "" {
		paths = append(paths, b.Runsc.Path)
	}
	if b.Sentry.Path != "" {
		paths = append(paths, RunscOf(b.Sentry.Path))
	}
	return uniq(paths)
}

// RunscOf returns the path of the runsc that starts sandboxes with a sentry, given the path of the
// sentry, which is the same if runsc is a single program.
func RunscOf(sentry string) string {
	if dir := filepath.Dir(sentry); filepath.Base(dir) == sidecarDir {
		return filepath.Join(filepath.Dir(dir), programName)
	}
	return sentry
}
