package runsc

import (
	"os"
	"path/filepath"
)

// sidecars is the directory of the other programs of a release, in the directory of runsc. prewarmer
// is the one that executes the sentry.
const (
	sidecars  = "gvisor-bin"
	sentry    = "gvisor_sentry"
	prewarmer = "gvisor-sentry-prewarmer"
)

// Sentry returns the program that runs the sandboxes of a runsc: in releases since 2026-08-31, that is
// gvisor-bin/gvisor_sentry beside the file of runsc. Before, and if runsc was built alone, runsc itself
// runs them, and ok is false.
func Sentry(runsc string) (path string, ok bool) {
	file, err := filepath.EvalSymlinks(runsc)
	if err != nil {
		file = runsc
	}
	path = filepath.Join(filepath.Dir(file), sidecars, sentry)
	_, err = os.Stat(path)
	return path, err == nil
}

// ReleaseFlags returns the flags with which the runsc of a release uses the programs of the release,
// and fails if one is missing: by default it would run the sandbox itself. A runsc without a Sentry
// gets none; older ones do not know the flag.
func ReleaseFlags(runsc string) []string {
	if _, ok := Sentry(runsc); !ok {
		return nil
	}
	return []string{"--sidecar-usage-policy=STRICT"}
}
