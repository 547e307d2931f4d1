package registration

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/sandmeter/sandmeter/internal/host"
)

// release installs a release of several programs in a directory of the host, and returns the build
// of a sandbox that it has started.
func (h *node) release(dir string) Build {
	h.Helper()
	h.install(filepath.Join(dir, "runsc"))
	sentry := filepath.Join(dir, sidecarDir, "gvisor_sentry")
	write(h.T, filepath.Join(h.dir, sentry), "sentry of "+dir, 0o755)
	return Build{
		Sentry:  h.executable(sentry),
		Runsc:   h.executable(filepath.Join(dir, "runsc")),
		Release: Release{testVersion, runtime.Version(), runtime.GOARCH},
	}
}

func (h *node) executable(path string) host.Executable {
	h.Helper()
	return host.Executable{File: h.id(path), Path: "/" + path}
}

func (h *node) remove(path string) {
	h.Helper()
	if err := os.RemoveAll(filepath.Join(h.dir, path)); err != nil {
		h.Fatal(err)
	}
}

func (h *node) chmod(path string, mode os.FileMode) {
	h.Helper()
	if err := os.Chmod(filepath.Join(h.dir, path), mode); err != nil {
		h.Fatal(err)
	}
}

// TestReleaseLayout: the sandbox's kernel is a program next to runsc, and runsc has the registration.
func TestReleaseLayout(t *testing.T) {
	const asksFound = "/usr/bin/runsc metric-metadata"
	newHost := func() (*node, Build) {
		h := &node{t, t.TempDir()}
		return h, h.release("usr/bin")
	}
	without := func(b Build) Build { return Build{Sentry: b.Sentry, Release: b.Release} }

	h, b := newHost()
	h.finds("runsc in PATH", Options{}, b, asksFound)
	h.finds("runsc in PATH, by the sentry next to it alone", Options{}, without(b), asksFound)
	other := h.release("opt/b")
	h.finds("a release outside of PATH", Options{}, other, "/opt/b/runsc metric-metadata")
	h.finds("a release outside of PATH, by its sentry alone", Options{}, without(other), "/opt/b/runsc metric-metadata")
	h.finds("a release outside of PATH, although another is named", Options{Programs: []string{"usr/bin/runsc"}}, other, "/opt/b/runsc metric-metadata")

	// Programs of other runtimes, and other programs of a release, are never run.
	h, b = newHost()
	h.install("usr/bin/crun")
	write(t, filepath.Join(h.dir, dockerConfig), `{"runtimes": {"crun": {"path": "/usr/bin/crun"}}}`, 0o600)
	h.finds("another runtime in the same directory", Options{}, without(b), asksFound)
	for _, path := range []string{"opt/c/containerd-shim-runsc-v1", "opt/c/gvisor-bin/runsc-metric-server", "opt/c/runsc-metric-server"} {
		h, _ := newHost()
		h.install(path)
		h.fails("a process shows "+path, Options{}, Build{Sentry: host.Executable{File: host.File{Inode: 1}}, Runsc: h.executable(path)}, "none of /usr/bin/runsc")
	}

	h, b = newHost()
	h.install("usr/bin/runsc-old") // next to the sentry of its successor
	h.finds("runsc, after a copy of an older one", Options{Programs: []string{"usr/bin/runsc-old", "usr/bin/runsc"}}, b, asksFound)

	h, b = newHost()
	write(t, filepath.Join(h.dir, "usr/bin", sidecarDir, "gvisor_sentry_plugin_stack"), "sentry with a plugin", 0o755)
	b = without(b)
	b.Sentry = h.executable("usr/bin/gvisor-bin/gvisor_sentry_plugin_stack")
	h.finds("the sentry with a network plugin", Options{}, b, asksFound)

	h, b = newHost()
	h.install("opt/runsc")
	if err := os.Rename(filepath.Join(h.dir, "opt/runsc"), filepath.Join(h.dir, "usr/bin/real")); err != nil {
		t.Fatal(err)
	}
	h.remove("usr/bin/runsc")
	if err := errors.Join(os.Mkdir(filepath.Join(h.dir, "usr/lib"), 0o755), os.Rename(filepath.Join(h.dir, "usr/bin"), filepath.Join(h.dir, "usr/lib/gvisor")),
		os.Mkdir(filepath.Join(h.dir, "usr/bin"), 0o755), os.Symlink("../lib/gvisor/real", filepath.Join(h.dir, "usr/bin/runsc"))); err != nil {
		t.Fatal(err)
	}
	h.finds("a link to runsc, whose directory has the sentry", Options{}, Build{Sentry: h.executable("usr/lib/gvisor/gvisor-bin/gvisor_sentry")}, asksFound)

	h, b = newHost()
	h.install("opt/sidecars/gvisor_sentry") // GVISOR_SIDECAR_BINARIES_DIR
	b.Sentry = h.executable("opt/sidecars/gvisor_sentry")
	h.finds("a sentry in another directory, by the gofer", Options{}, b, asksFound)
	h.fails("a sentry in another directory, without a gofer", Options{}, without(b), "none of /usr/bin/runsc")

	h, b = newHost()
	h.install("opt/runsc-real")
	h.remove("usr/bin")
	write(t, filepath.Join(h.dir, "usr/bin/runsc"), "#!/bin/sh\nexec /opt/runsc-real \"$@\"\n", 0o755)
	real := Build{Sentry: h.executable("opt/runsc-real"), Release: b.Release}
	h.finds("a script in PATH, which executes a single program", Options{}, real, "/opt/runsc-real metric-metadata")
	h.finds("a script that is named", Options{Programs: []string{"usr/bin/runsc"}}, real, "/opt/runsc-real metric-metadata")
	h.chmod("opt", 0o777)
	h.fails("a script, and others can replace the program", Options{}, real, "/opt is writable by everybody (mode 0777)")

	// What processes show is a hint.
	h, b = newHost()
	h.remove("usr/bin/runsc")
	h.install("opt/runsc")
	b.Sentry.Path, b.Runsc.Path = "/opt/runsc", "/opt/runsc" // as from another mount namespace
	h.fails("another file at the path of the process", Options{}, b, "there is no runsc")
	h.install("opt/tool")
	h.fails("a program that is not runsc", Options{}, Build{Sentry: h.executable("opt/tool"), Runsc: h.executable("opt/tool")}, "there is no runsc")
	write(t, filepath.Join(h.dir, "opt/runsc-script"), "#!/bin/sh\n", 0o755)
	h.fails("a script that a process shows", Options{}, Build{Sentry: h.executable("opt/runsc-script")}, "there is no runsc")
	b = Build{Sentry: host.Executable{File: host.File{Inode: 1}, Path: "/opt/gvisor-bin/gvisor_sentry (deleted)"}}
	h.fails("a sentry that was removed", Options{}, b, "there is no runsc")

	// Who else may have put the files there?
	for _, dir := range []string{"usr/bin", "usr/bin/gvisor-bin", "usr"} {
		h, b = newHost()
		h.chmod(dir, 0o777)
		h.fails("others may write "+dir, Options{}, without(b), "/"+dir+" is writable by everybody (mode 0777)")
	}
	h, b = newHost()
	h.chmod("usr/bin/gvisor-bin/gvisor_sentry", 0o777)
	h.fails("others may write the sentry", Options{}, without(b), "run /usr/bin/gvisor-bin/gvisor_sentry: "+writableText)
	h, b = newHost()
	h.chmod("usr/bin/runsc", 0o777)
	h.fails("others may write runsc", Options{}, b, "run /usr/bin/runsc: "+writableText)

	// A release that gVisor built tells only its version, which no other build has.
	h = &node{t, t.TempDir()}
	h.install("usr/bin/runsc-release-20260907.0")
	named := Options{Programs: []string{"usr/bin/runsc-release-20260907.0"}}
	bazel := Build{Sentry: host.Executable{File: host.File{Inode: 1}}, Release: Release{"release-20260907.0", runtime.Version(), runtime.GOARCH}}
	const asksVersion = "/usr/bin/runsc-release-20260907.0 --version"
	h.finds("a replaced release of the same version", named, bazel, asksVersion, "/usr/bin/runsc-release-20260907.0 metric-metadata")
	bazel.Release.Version = "release-20260914.0"
	h.fails("a replaced release of another version", named, bazel, "none of", asksVersion)
}

// TestReleaseMatches: which program may be of the release in a state file.
func TestReleaseMatches(t *testing.T) {
	sandbox := func(version string) Release { return Release{version, "go1.26", "amd64"} }
	check := func(program, sandbox Release, want bool) {
		t.Helper()
		if got := program.matches(sandbox); got != want {
			t.Errorf("%+v matches %+v: %t", program, sandbox, got)
		}
	}
	check(Release{"release-1", "go1.26", "amd64"}, sandbox("release-1"), true)
	check(Release{"release-1", "go1.25", "amd64"}, sandbox("release-1"), false)
	check(Release{noVersion, "go1.26", "amd64"}, sandbox(noVersion), true)
	check(Release{Version: "release-1"}, sandbox("release-1"), true)
	check(Release{Version: "release-1"}, sandbox("release-2"), false)
	check(Release{Version: noVersion}, sandbox(noVersion), false)
}

// TestSeparateKernel: a runsc that does not print the metrics of the kernel that it starts.
func TestSeparateKernel(t *testing.T) {
	h := &node{t, t.TempDir()}
	b := h.release("usr/bin")
	h.install("usr/bin/runsc-empty")
	b.Runsc = h.executable("usr/bin/runsc-empty")
	if r, _, _, err := h.ask(Options{}, b); r != nil || !errors.Is(err, ErrIncomplete) || !b.Separate() {
		t.Errorf("%v, %v", r, err)
	}
	if b.Sentry.Path = "/usr/bin/runsc"; b.Separate() {
		t.Error("runsc is a program of its own")
	}
}
