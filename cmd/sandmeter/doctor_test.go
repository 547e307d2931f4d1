package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sandmeter/sandmeter/internal/api"
	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/doctor"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

// setDoctorHost makes doctor examine a host during a test whose only process is this one, and at
// whose usual address nothing listens.
func setDoctorHost(w *world) {
	w.Helper()
	proc, address := doctorProc, doctorAddress
	doctorProc, doctorAddress = w.path("proc"), w.path("none")
	w.Cleanup(func() { doctorProc, doctorAddress = proc, address })
	w.must(os.Mkdir(doctorProc, 0o755))
	pid := fmt.Sprint(os.Getpid())
	w.must(os.Symlink("/proc/"+pid, filepath.Join(doctorProc, pid)))
}

// TestDoctor: the text, the document, and the exit status, without a server and with one.
func TestDoctor(t *testing.T) {
	w := newWorld(t)
	setDoctorHost(w)
	setUsualRoots(t, w.root)
	t.Setenv("XDG_RUNTIME_DIR", w.path("none"))
	_, out, _ := w.command("doctor")
	contains(t, out, "\nNo sandboxes.\n")
	w.start(simulate.Spec{ID: "good"})
	code, out, errs := w.command("doctor")
	if code != cli.ExitOK || errs != "" {
		t.Errorf("without a server it exits with %d and says %s", code, errs)
	}
	contains(t, out, "No server:  this command examined "+w.root+"\n", "[no_server]\n", "\n0 problems, ")

	w.start(simulate.Spec{ID: "broken", PID: os.Getppid(), Pod: "web\x1b[31m", Namespace: "shop"})
	w.serve("serve --root {root} --web.listen-address {socket}")
	code, out, errs = w.command("doctor --address {socket}")
	if code != cli.ExitFail || errs != "" {
		t.Errorf("with a problem it exits with %d and says %s", code, errs)
	}
	contains(t, out, fmt.Sprintf("Server:  %s (process %d) serves %s\n", w.socket, os.Getpid(), w.root), "problem: 1 sandbox: wrong_peer [sandbox_failed]\n", `broken (shop/"web\x1b[31m")`, "\n1 problem, ")
	code, out, errs = w.command("doctor --json --address {socket}")
	document := doctor.Report{Observed: new(doctor.Observed)}
	if err := json.Unmarshal([]byte(out), &document); err != nil || code != cli.ExitFail || errs != "" {
		t.Fatalf("--json exits with %d and says\n%s%s: %v", code, out, errs, err)
	}
	if strings.Contains(out, "\x1b") || document.Problems != 1 || document.Servers[0].Status.Settings.Given["root"] != w.root ||
		len(document.Servers[0].Status.Sandboxes) != 2 {
		t.Errorf("--json says\n%s", out)
	}
}

// TestDoctorRoots: --root replaces the roots that are found otherwise, and SANDMETER_ROOT adds to
// them.
func TestDoctorRoots(t *testing.T) {
	w := newWorld(t)
	setDoctorHost(w)
	setUsualRoots(t, w.path("usual"))
	for _, name := range []string{"usual", "one", "two"} {
		w.must(os.Mkdir(w.path(name), 0o755))
	}
	check := func(line string, want ...string) {
		t.Helper()
		var document struct{ Local api.Status }
		_, out, _ := w.command(line)
		w.must(json.Unmarshal([]byte(out), &document))
		var got []string
		for _, r := range document.Local.RuntimeRoots {
			if r.State == api.RootOK {
				got = append(got, strings.TrimPrefix(r.Path, w.dir+"/"))
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", line, got, want)
		}
	}
	t.Setenv("XDG_RUNTIME_DIR", w.path("none"))
	check("doctor --json", "usual")
	check("doctor --json --root {dir}/one --root {dir}/t*", "one", "two")
	t.Setenv("SANDMETER_ROOT", w.path("one")+","+w.path("none/*")+","+w.path("missing"))
	check("doctor --json", "usual", "one")
}

// observedNode returns the node in the golden document: a pod that stalls, one that is fine, one that has
// ended, and a container that no server serves.
func observedNode(t *testing.T) *doctor.Observed {
	t.Helper()
	report := doctor.Report{Observed: new(doctor.Observed)}
	text, err := os.ReadFile("testdata/doctor.json.golden")
	if err == nil {
		err = json.Unmarshal(text, &report)
	}
	if err != nil {
		t.Fatal(err)
	}
	return report.Observed
}

// TestDoctorText: the text, with a table that fits 80 columns, and the document.
func TestDoctorText(t *testing.T) {
	report := doctor.Examine(observedNode(t), "VERSION")
	var text, document strings.Builder
	d := newDoctorText(&text)
	d.width = 80
	if err := errors.Join(d.write(report), writeJSON(&document, report)); err != nil {
		t.Error(err)
	}
	golden(t, "doctor.golden", text.String())
	golden(t, "doctor.json.golden", document.String())
	if strings.Contains(text.String()+document.String(), "\x1b") {
		t.Error("an escape sequence is in the output")
	}
}

// TestDoctorOfManySandboxes: the table is short, and begins with sandboxes without metrics.
func TestDoctorOfManySandboxes(t *testing.T) {
	o := observedNode(t)
	status := o.Servers[0].Status
	broken, good := status.Sandboxes[0], status.Sandboxes[1]
	status.Sandboxes, o.Local = nil, nil
	for i := range 100 {
		s := good
		if i >= 90 {
			s = broken
		}
		s.ID = fmt.Sprintf("sandbox-%04d", i)
		status.Sandboxes = append(status.Sandboxes, s)
	}
	var out strings.Builder
	if err := newDoctorText(&out).write(doctor.Examine(o, "")); err != nil {
		t.Error(err)
	}
	_, table, _ := strings.Cut(out.String(), "\n\n")
	lines := strings.Split(table, "\n")
	if !strings.HasPrefix(lines[1], "sandbox-0090 ") || !strings.HasPrefix(lines[10], "sandbox-0099 ") || !strings.HasPrefix(lines[11], "sandbox-0000 ") ||
		lines[maxSandboxRows+1] != "… and 80 more; --json has all" {
		t.Errorf("says\n%s", out.String())
	}
	contains(t, out.String(), "sandbox-0094 (shop/\"cart-7f9c\\x1b[2J\") and 5 more\n")
}
