package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// newExportWorld returns a world with a pod, empty state files, and sandboxes with similar IDs.
func newExportWorld(t *testing.T) *world {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "pod", More: []simulate.Container{{ID: "app"}, {ID: "pod-side"}}})
	w.start(simulate.Spec{ID: "silent", Uninstrumented: true})
	w.start(simulate.Spec{ID: "ended", PID: -1, Uninstrumented: true})
	for _, id := range []string{"5f0c", "5f0c2a1b", "5f0c2a1c", "9e1", "9e2", "9e2x"} {
		w.start(simulate.Spec{ID: id, More: []simulate.Container{{ID: id + "-twin"}, {ID: "shared"}}})
	}
	for _, name := range []string{"empty_sandbox:empty", "log_sandbox:pod", "9e3_sandbox:9e3"} {
		w.must(os.WriteFile(filepath.Join(w.root, name+".state"), nil, 0o644))
	}
	return w
}

// TestExportIDs: export accepts the ID of any container, and a prefix that matches only one
// sandbox.
func TestExportIDs(t *testing.T) {
	w := newExportWorld(t)
	exports := func(id, wantSandbox string) {
		t.Helper()
		code, out, err := w.command("export --root {root} " + id)
		if code != cli.ExitOK || err != "" || !strings.Contains(out, `sandbox="`+wantSandbox+`"}`) {
			t.Errorf("export %s exits with %d and says %s%s", id, code, out, err)
		}
	}
	exports("pod", "pod")
	exports("po", "pod") // matches two containers of the pod
	exports("app", "pod")
	exports("ap", "pod")
	exports("log", "pod") // its state file is empty, but the file name has the sandbox
	exports("5f0c", "5f0c")
	exports("5f0c2a1b", "5f0c2a1b")
	exports("5f0c2a1b-", "5f0c2a1b")
	exports("9e1", "9e1")

	fails := func(id, want string) {
		t.Helper()
		w.fails("export --root {root} "+id, cli.ExitFail, want+"; give a longer prefix")
	}
	fails("5f0c2", `ID "5f0c2" is ambiguous: it matches 5f0c2a1b, 5f0c2a1b-twin, 5f0c2a1c, 5f0c2a1c-twin`)
	fails("9e", `ID "9e" is ambiguous: it matches 9e1, 9e1-twin, 9e2, 9e2-twin, 9e2x, 9e2x-twin, 9e3`)
	fails("shared", `ID "shared" is ambiguous: it matches 5f0c, 5f0c2a1b, 5f0c2a1c, 9e1, 9e2, 9e2x`)
	for _, c := range "abcdefghijkl" {
		w.must(os.WriteFile(filepath.Join(w.root, "many"+string(c)+"_sandbox:x"+string(c)+".state"), nil, 0o644))
	}
	fails("many", `ID "many" is ambiguous: it matches manya, manyb, manyc, manyd, manye, manyf, manyg, manyh, manyi, manyj and 2 more`)
}

// TestExportSaysWhyNot: a missing sandbox, an empty state file and a sandbox without metrics have
// different errors.
func TestExportSaysWhyNot(t *testing.T) {
	w := newExportWorld(t)
	fails := func(id, want string) {
		t.Helper()
		w.fails("export --root {root} "+id, cli.ExitFail, want)
	}
	fails("none", `there is no sandbox "none" in runtime root {root}; sandmeter list shows all sandboxes`)
	fails("empty", `sandbox "empty": state file "empty_sandbox:empty.state": unexpected end of JSON; sandmeter list shows the readable ones`)
	fails("emp", `sandbox "empty": state file "empty_sandbox:empty.state": unexpected end of JSON; sandmeter list shows the readable ones`)
	fails("silent --runsc {dir}/runsc", `sandbox "silent": no metrics registered, and the runsc that started it is none of {dir}/runsc `+
		"(run {dir}/runsc: no such file or directory); name it with --runsc, or save the output of `runsc metric-metadata` and give the file to --runsc")
	w.must(os.WriteFile(w.path("text"), []byte("text"), 0o600))
	fails("silent --runsc {dir}/text", `runsc: neither a program nor the output of runsc metric-metadata: {dir}/text: not a registration: "unexpected EOF"`)
	fails("ended", `sandbox "ended": the sandbox has ended`)
	w.start(simulate.Spec{ID: "frozen", Frozen: true})
	if code, _, err := w.command("export --root {root} --sandbox-timeout 50ms frozen"); code != cli.ExitFail || !strings.HasPrefix(err, `sandmeter: sandbox "frozen": `) || !strings.Contains(err, " in time") {
		t.Errorf("export frozen exits with %d and says %s", code, err)
	}
}

func TestExportFilter(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "a", Points: []simulate.Point{{Metric: "fs_opens", Int: 1}, {Metric: "fs_reads", Int: 2}, {Metric: "gofer_opens_host", Int: 3}}})
	exports := func(flags string, wantSamples ...string) {
		t.Helper()
		code, out, err := w.command("export --root {root} a " + flags)
		if code != cli.ExitOK || err != "" || strings.Count(out, `sandbox="a"`) != len(wantSamples) {
			t.Errorf("export %s exits with %d and says %s%s", flags, code, out, err)
		}
		for _, name := range wantSamples {
			contains(t, out, "\n"+name+"{")
		}
	}
	exports("--filter ^fs_", "runsc_fs_opens_total", "runsc_fs_reads_total")
	exports("--filter opens", "runsc_fs_opens_total", "runsc_gofer_opens_host_total")
	exports("--filter ^fs_opens$ --exporter-prefix x_", "x_fs_opens_total")
	const why = "; filters match names without the prefix, and counters that are zero are left out"
	w.fails("export --root {root} a --filter ^runsc_", cli.ExitFail, `sandbox "a": no metric matches "^runsc_"`+why)
	exports("--filter ^fs_opens$ --metric-naming runsc", "runsc_fs_opens")
	t.Setenv("SANDMETER_FILTER", "fs_reads")
	exports("", "runsc_fs_reads_total")
}
