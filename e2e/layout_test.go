package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/sandmeter/sandmeter/internal/runsc"
)

// builtVersion is the version of a runsc that is built from gVisor's module.
const builtVersion = "VERSION_MISSING"

// copyRelease copies the programs of the release of the tests to a directory, and returns the path of
// its runsc. As its metric server it has the program under test.
func copyRelease(t *testing.T, dir string) (path string) {
	t.Helper()
	path = filepath.Join(dir, "runsc")
	copyProgram(t, path, realRunsc(t))
	sentry, _ := runsc.Sentry(realRunsc(t)) // it exists
	for _, name := range []string{"gvisor_sentry", "gvisor-sentry-prewarmer"} {
		copyProgram(t, filepath.Join(dir, "gvisor-bin", name), filepath.Join(filepath.Dir(sentry), name))
	}
	copyProgram(t, filepath.Join(dir, "gvisor-bin", "runsc-metric-server"), sandmeter)
	return path
}

// anotherRelease is copyRelease for a release with another version, which gVisor treats as a release:
// all of its programs must have the same one. The version is replaced in the programs, because linking
// them again takes longer.
func anotherRelease(t *testing.T, dir string, number int) (path string) {
	t.Helper()
	path = copyRelease(t, dir)
	for _, name := range []string{"runsc", "gvisor-bin/gvisor_sentry"} {
		program, err := os.ReadFile(filepath.Join(dir, name))
		if err == nil {
			program = bytes.ReplaceAll(program, []byte(builtVersion), []byte(releaseVersion(number)))
			err = os.WriteFile(filepath.Join(dir, name), program, 0o755)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return path
}

// releaseVersion returns a version that is as long as builtVersion.
func releaseVersion(number int) string {
	return fmt.Sprintf("release-%0*d", len(builtVersion)-len("release-"), number)
}

// distrusted copies a release, or an older runsc that is one program, to a directory that everybody can
// write, so that no server runs it because a sandbox's process shows it. It returns the path of runsc.
func distrusted(t *testing.T, program string) (path string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "bin")
	if _, isRelease := runsc.Sentry(program); isRelease {
		path = copyRelease(t, dir)
	} else {
		path = filepath.Join(dir, "runsc")
		copyProgram(t, path, program)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return path
}

// newDistrustedWorld is newWorld with a runsc that no server runs by itself.
func newDistrustedWorld(t *testing.T) *world {
	t.Helper()
	return newWorldWith(t, runsc.Config{Runsc: distrusted(t, realRunsc(t)), Program: sandlab})
}

// copyProgram copies a program, and makes the directory of the copy.
func copyProgram(t *testing.T, to, from string) {
	t.Helper()
	program, err := os.ReadFile(from)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(to), 0o755)
	}
	if err == nil {
		err = os.WriteFile(to, program, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}
