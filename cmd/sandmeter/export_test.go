package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// TestExportSaysWhyNot: a sandbox that is not there, one whose state file says nothing, and one that has nothing to tell are three things.
func TestExportSaysWhyNot(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "pod", More: []simulate.Container{{ID: "app"}}})
	w.start(simulate.Spec{ID: "silent", Uninstrumented: true})
	w.start(simulate.Spec{ID: "ended", PID: -1, Uninstrumented: true})
	for _, name := range []string{"empty_sandbox:empty", "log_sandbox:pod"} {
		w.must(os.WriteFile(filepath.Join(w.root, name+".state"), nil, 0o644))
	}
	fails := func(id, want string) {
		t.Helper()
		w.fails("export --root {root} "+id, cli.ExitFail, want)
	}
	const inRoot = " in runtime root {root}; sandmeter list shows which there are"
	fails("po", `there is no sandbox "po"`+inRoot)
	fails("app", `there is no sandbox "app"`+inRoot)
	fails("log", `there is no sandbox "log"`+inRoot)
	fails("empty", `sandbox "empty": state file "empty_sandbox:empty.state": the JSON document ends too early; sandmeter list shows those that can be read`)
	fails("silent", `sandbox "silent": it registered no metrics: create it anew, with runsc's flag --metric-server`)
	fails("ended", `sandbox "ended": the sandbox has ended`)
	if code, out, err := w.command("export --root {root} pod"); code != cli.ExitOK || out == "" || err != "" {
		t.Errorf("export of a pod with an unreadable file of another container exits with %d and says %s%s", code, out, err)
	}
}
