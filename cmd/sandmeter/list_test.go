package main

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/sandmeter/sandmeter/internal/cli"
	"github.com/sandmeter/sandmeter/internal/simulate"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a text with a golden file.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant %s (go test -update writes it)\n%s", got, path, want)
	}
}

// startListed starts sandboxes in every state that list shows. The PID of running
// ones is not known, since they have one that is not the process that listens.
func (w *world) startListed() {
	at := func(second int) simulate.Container {
		return simulate.Container{CreatedAt: time.Date(2026, 11, 22, 9, 12, second, 743744391, time.FixedZone("", 3600))}
	}
	with := func(c simulate.Container, status string) simulate.Container {
		c.Status = status
		return c
	}
	w.start(simulate.Spec{ID: "plain", PID: 1, Root: at(1)})
	w.start(simulate.Spec{ID: "pod", PID: 1, Root: at(2), Pod: "web-7d8b49557c-abcde", Namespace: "shop",
		More: []simulate.Container{{ID: "pod-app"}, {ID: "pod-log"}}})
	w.start(simulate.Spec{ID: "created", PID: 1, Root: with(at(3), "created")})
	w.start(simulate.Spec{ID: "paused", PID: 1, Root: with(at(4), "paused")})
	w.start(simulate.Spec{ID: "deleted", PID: -1, Root: at(5)})
	w.start(simulate.Spec{ID: "silent", PID: 1, Root: at(6), Uninstrumented: true})
	w.start(simulate.Spec{ID: "elsewhere", PID: 1, Root: at(7), MetricServer: "%RUNTIME_ROOT%/metrics.sock"})
	w.start(simulate.Spec{ID: "future", PID: 1, Root: with(at(8), "\x1b[2Jlater")})
	for i, name := range []string{
		"two\nlines\r", "\x1b[31mred", "tab\tbell\a", `"quoted" \`, "right\u202eleft", "csi\u009b31m", "nul\x00del\x7f", "bad\xff", "ünï・名", "-", "<&>", "no\u00a0break", "tag\U000E0001",
	} {
		w.start(simulate.Spec{ID: "nasty-" + string(rune('a'+i)), PID: 1, Root: at(10 + i), Pod: name, Namespace: name})
	}
}

func TestList(t *testing.T) {
	w := newWorld(t)
	w.startListed()
	code, table, err := w.command("list --root {root}")
	if code != cli.ExitOK || err != "" {
		t.Errorf("list exits with %d and says %s", code, err)
	}
	golden(t, "list.golden", table)
	wantPrintable(t, table)

	code, array, err := w.command("list --root {root} --json")
	if code != cli.ExitOK || err != "" {
		t.Errorf("list --json exits with %d and says %s", code, err)
	}
	golden(t, "list.json.golden", array)
	wantPrintable(t, array)
	var listed []struct {
		ID  string `json:"id"`
		Pod string `json:"pod_name"`
	}
	w.must(json.Unmarshal([]byte(array), &listed))
	pods := make(map[string]string)
	for _, s := range listed {
		pods[s.ID] = s.Pod
	}
	for id, want := range map[string]string{"nasty-a": "two\nlines\r", "nasty-f": "csi\u009b31m", "nasty-g": "nul\x00del\x7f", "nasty-h": "bad\uFFFD", "nasty-m": "tag\U000E0001"} {
		if pods[id] != want {
			t.Errorf("the pod of %s reads back as %q, want %q", id, pods[id], want)
		}
	}
}

// wantPrintable fails the test if a text has terminal control sequences.
func wantPrintable(t *testing.T, text string) {
	t.Helper()
	for _, r := range text {
		if !unicode.IsPrint(r) && r != '\n' {
			t.Errorf("%q is written raw", r)
		}
	}
}

func TestListOfNothing(t *testing.T) {
	w := newWorld(t)
	if code, out, err := w.command("list --root {root}"); code != cli.ExitOK || out != "" || err != "No sandboxes in "+w.root+".\n" {
		t.Errorf("list exits with %d and says %q, %q", code, out, err)
	}
	w.says("list --root {root} --json", "[]\n")
}

// TestListBesideUnreadableFiles: list reports unreadable files, and shows all other sandboxes.
func TestListBesideUnreadableFiles(t *testing.T) {
	w := newWorld(t)
	for id, text := range map[string]string{"empty": "", "garbage": "\x1b[31m"} {
		w.must(os.WriteFile(filepath.Join(w.root, id+"_sandbox:"+id+".state"), []byte(text), 0o644))
	}
	check := func(line string, wantSandboxes int) {
		t.Helper()
		code, out, err := w.command(line)
		if code != cli.ExitFail || strings.Count(out, "fine") != wantSandboxes || strings.Contains(err, "No sandboxes") || strings.Count(err, "\n") != 3 ||
			!strings.HasSuffix(err, "sandmeter: 2 state files in "+w.root+" could not be read: their sandboxes may be missing from the list\n") {
			t.Errorf("%s exits with %d and says\n%s%s", line, code, out, err)
		}
		contains(t, err, `sandmeter: state file "empty_sandbox:empty.state": `, `sandmeter: state file "garbage_sandbox:garbage.state": `)
		wantPrintable(t, err)
	}
	check("list --root {root}", 0)
	w.start(simulate.Spec{ID: "fine"})
	check("list --root {root}", 1)
	check("list --root {root} --json", 1)
}

// TestListFromTheEnvironment: environment variables set flags, and flags take precedence.
func TestListFromTheEnvironment(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "fine"})
	begins := func(line, want string) {
		t.Helper()
		if code, out, err := w.command(line); code != cli.ExitOK || !strings.HasPrefix(out, want) {
			t.Errorf("%s exits with %d and says %s%s", line, code, out, err)
		}
	}
	t.Setenv("SANDMETER_ROOT", w.root)
	begins("list", "SANDBOX")
	t.Setenv("SANDMETER_JSON", "true")
	begins("list", "[\n")
	begins("list --json=false", "SANDBOX")
	t.Setenv("SANDMETER_JSON", "maybe")
	w.fails("list", cli.ExitUsage, `SANDMETER_JSON "maybe": give true or false`)
}
