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
	if code, out, err := w.command("list --root {root} --json"); code != cli.ExitOK || out != "[]\n" || err != "" {
		t.Errorf("list --json exits with %d and says %q, %q", code, out, err)
	}
}

// TestListBesideUnreadableFiles: list reports unreadable files, and shows all other sandboxes.
func TestListBesideUnreadableFiles(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "fine"})
	for _, id := range []string{"empty", "garbage", "other"} {
		text := map[string]string{"garbage": "\x1b[31m", "other": `{"id":"x\u001b","sandbox":{"id":"y\n"},"createdAt":"2026-11-22T09:12:52Z"}`}[id]
		w.must(os.WriteFile(filepath.Join(w.root, id+"_sandbox:"+id+".state"), []byte(text), 0o644))
	}
	code, out, err := w.command("list --root {root}")
	if code != cli.ExitFail || strings.Count(out, "\n") != 2 || !strings.Contains(out, "\nfine ") {
		t.Errorf("list exits with %d and says\n%s", code, out)
	}
	const unread = " could not be read: their sandboxes may be missing from the list\n"
	if strings.Count(err, "\n") != 4 || !strings.HasSuffix(err, "sandmeter: 3 state files in "+w.root+unread) {
		t.Errorf("list says\n%s", err)
	}
	if code, out, _ := w.command("list --json --root {root}"); code != cli.ExitFail || strings.Count(out, `"id"`) != 1 {
		t.Errorf("list --json exits with %d and says\n%s", code, out)
	}
	other := newWorld(t)
	w.must(os.WriteFile(filepath.Join(other.root, "a_sandbox:a.state"), nil, 0o644))
	if code, out, err := other.command("list --root {root}"); code != cli.ExitFail || out != "" || strings.Contains(err, "No sandboxes") ||
		!strings.HasSuffix(err, "sandmeter: 1 state file in "+other.root+unread) {
		t.Errorf("list of what cannot be read exits with %d and says\n%s%s", code, out, err)
	}
	for _, id := range []string{"empty", "garbage", "other"} {
		contains(t, err, `sandmeter: state file "`+id+"_sandbox:"+id+`.state": `)
	}
	wantPrintable(t, err)
}

// TestListFromTheEnvironment: environment variables set flags, and flags take precedence.
func TestListFromTheEnvironment(t *testing.T) {
	w := newWorld(t)
	w.start(simulate.Spec{ID: "fine"})
	t.Setenv("SANDMETER_ROOT", w.root)
	if code, out, err := w.command("list"); code != cli.ExitOK || !strings.Contains(out, "\nfine ") {
		t.Errorf("list exits with %d and says %s%s", code, out, err)
	}
	t.Setenv("SANDMETER_JSON", "true")
	if code, out, err := w.command("list"); code != cli.ExitOK || !strings.HasPrefix(out, "[\n") {
		t.Errorf("list exits with %d and says %s%s", code, out, err)
	}
	if code, out, err := w.command("list --json=false"); code != cli.ExitOK || !strings.HasPrefix(out, "SANDBOX") {
		t.Errorf("list --json=false exits with %d and says %s%s", code, out, err)
	}
	w.fails("list --root {dir}/missing", cli.ExitFail, "read runtime root {dir}/missing: no such file or directory; set the runtime root with --root")
	t.Setenv("SANDMETER_JSON", "maybe")
	w.fails("list", cli.ExitUsage, `SANDMETER_JSON "maybe": give true or false`)
	t.Setenv("SANDMETER_JSON", "") // counts as unset
	if code, out, err := w.command("list"); code != cli.ExitOK || !strings.HasPrefix(out, "SANDBOX") {
		t.Errorf("list exits with %d and says %s%s", code, out, err)
	}
}
