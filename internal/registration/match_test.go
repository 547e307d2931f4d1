package registration

import (
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/host"
	"github.com/sandmeter/sandmeter/internal/state"
	"github.com/sandmeter/sandmeter/internal/testkit"
)

// A node has simulated runsc programs, and a log of the runs of each beside it.
type node struct {
	*testing.T
	dir string
}

// install copies a program that simulates runsc to a path of the host.
func (h *node) install(path string) {
	h.Helper()
	program, err := simulatedRunsc()
	if err != nil {
		h.Fatal(err)
	}
	write(h.T, filepath.Join(h.dir, path), string(program), 0o755)
}

// id returns what identifies a file of the host.
func (h *node) id(path string) host.File {
	h.Helper()
	p, err := open(filepath.Join(h.dir, path))
	if err != nil {
		h.Fatal(err)
	}
	defer p.close()
	return p.id
}

// ask searches for a build, and returns the result, the runs of programs since the last call, and
// the log.
func (h *node) ask(o Options, b Build) (r *state.Registration, runs []string, log string, err error) {
	h.Helper()
	var lines testkit.Buffer
	o.Root, o.Path, o.Logger = h.dir, "/usr/bin", slog.New(slog.NewTextHandler(&lines, nil))
	o.Programs = slices.Clone(o.Programs)
	for i, path := range o.Programs {
		o.Programs[i] = filepath.Join(h.dir, path)
	}
	s := NewSource(o)
	defer s.Close()
	r, err = s.ask(h.Context(), b)
	var logs []string
	for _, depth := range []string{"*", "*/*"} {
		found, _ := filepath.Glob(filepath.Join(h.dir, depth, "*.log"))
		logs = append(logs, found...)
	}
	for _, path := range logs {
		text, _ := os.ReadFile(path)
		for run := range strings.Lines(string(text)) {
			runs = append(runs, strings.TrimSuffix(strings.TrimPrefix(path, h.dir), ".log")+" "+strings.TrimSpace(run))
		}
		os.Remove(path)
	}
	return r, runs, strings.ReplaceAll(lines.String(), h.dir, ""), err
}

// finds asks for a build whose registration is found, after these runs of programs.
func (h *node) finds(name string, o Options, b Build, wantRuns ...string) {
	h.Helper()
	r, runs, log, err := h.ask(o, b)
	if err != nil || string(r.JSON) != shortJSON || strings.Join(runs, "; ") != strings.Join(wantRuns, "; ") {
		h.Errorf("%s: %v, %v, and %q ran, want %q", name, r, err, runs, wantRuns)
	}
	if !strings.Contains(log, ` msg="Registration read from runsc" program=/`) {
		h.Errorf("%s: the log is %s", name, log)
	}
}

// fails asks for a build whose registration is not found, which makes a fallback necessary.
func (h *node) fails(name string, o Options, b Build, want string, wantRuns ...string) {
	h.Helper()
	r, runs, log, err := h.ask(o, b)
	if r != nil || err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), h.dir, ""), want) || strings.Join(runs, "; ") != strings.Join(wantRuns, "; ") || log != "" {
		h.Errorf("%s: %v, %v, and %q ran, want %s and %q; the log is %s", name, r, err, runs, want, wantRuns, log)
	}
	o.Fallback = &state.Registration{}
	if r, _, _, err := h.ask(o, b); r != o.Fallback || err != nil {
		h.Errorf("%s, with a fallback: %v, %v", name, r, err)
	}
}

// TestMatch: a program of another build is not run, except to ask a named or well-known one for its
// release.
func TestMatch(t *testing.T) {
	h := &node{t, t.TempDir()}
	h.install("usr/bin/runsc")
	h.install("opt/bin/runsc-named")
	write(t, filepath.Join(h.dir, "opt/bin/runsc-hangs"), "#!/bin/sh\nexit 9\n", 0o755)
	write(t, filepath.Join(h.dir, "opt/bin/runsc-open"), "", 0o777)
	release := Release{testVersion, runtime.Version(), runtime.GOARCH}
	other := Release{"other", runtime.Version(), runtime.GOARCH}
	exe := func(path string, r Release) Build {
		return Build{Sentry: host.Executable{File: h.id(path)}, Release: r}
	}
	gone := func(r Release) Build {
		return Build{Sentry: host.Executable{File: host.File{Device: 1, Inode: 1}}, Release: r}
	}
	named := func(paths ...string) Options { return Options{Programs: paths} }
	const asksFound, asksNamed = "/usr/bin/runsc metric-metadata", "/opt/bin/runsc-named metric-metadata"
	h.finds("the file in PATH", Options{}, exe("usr/bin/runsc", release), asksFound)
	h.finds("the file, whatever the release", Options{}, exe("usr/bin/runsc", other), asksFound)
	h.finds("the named file", named("usr/bin/runsc", "opt/bin/runsc-named"), exe("opt/bin/runsc-named", release), asksNamed)
	h.finds("a copy that was named", named("opt/bin/runsc-named"), gone(release), "/opt/bin/runsc-named --version", asksNamed)
	h.finds("the release in PATH", Options{}, Build{Release: release}, "/usr/bin/runsc --version", asksFound)
	h.finds("the file rather than the fallback", Options{Fallback: &state.Registration{}}, exe("usr/bin/runsc", release), asksFound)

	const advice = "; name it with --runsc, or save the output of `runsc metric-metadata` and give the file to --runsc"
	const none = "no metrics registered, and the runsc that started it is none of "
	h.fails("another file in PATH", Options{}, gone(release), none+"/usr/bin/runsc"+advice)
	h.fails("another release in PATH", Options{}, Build{Release: other}, none+"/usr/bin/runsc"+advice, "/usr/bin/runsc --version")
	h.fails("another release that was named", named("opt/bin/runsc-named"), gone(other), none+"/opt/bin/runsc-named"+advice, "/opt/bin/runsc-named --version")
	h.fails("nothing known about the sandbox", Options{}, Build{}, none+"/usr/bin/runsc"+advice)
	h.fails("a program that others may write", named("opt/bin/runsc-open"), gone(Release{}),
		none+"/opt/bin/runsc-open (run /opt/bin/runsc-open: "+writableText+")"+advice)
	h.fails("a program that is missing", named("opt/bin/none"), gone(Release{}), none+"/opt/bin/none (run /opt/bin/none: no such file or directory)"+advice)
	h.fails("a program that fails", named("opt/bin/runsc-hangs"), exe("opt/bin/runsc-hangs", release),
		"no metrics registered, and runsc fails: /opt/bin/runsc-hangs metric-metadata: exit status 9")

	h.dir = t.TempDir()
	h.fails("no program", Options{}, gone(release), "no metrics registered, and there is no runsc in the configurations of Docker and containerd, and in PATH"+advice)
	h.install("opt/bin/crun")
	write(t, filepath.Join(h.dir, dockerConfig), `{"runtimes": {"crun": {"path": "/opt/bin/crun"}}}`, 0o600)
	h.fails("a runtime that may not be runsc", Options{}, Build{Release: release}, none+"/opt/bin/crun"+advice)
	write(t, filepath.Join(h.dir, dockerConfig), `{`, 0o600)
	h.fails("a broken configuration", Options{}, gone(release),
		"no metrics registered, and there is no runsc in the configurations of Docker and containerd, and in PATH (/etc/docker/daemon.json: unexpected end of JSON input)"+advice)
}
