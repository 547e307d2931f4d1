package main

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra/doc"

	"github.com/sandmeter/sandmeter/config"
	"github.com/sandmeter/sandmeter/internal/cli"
)

// TestManPagesAreThoseOfTheCommands: the pages that man writes are up to date with commands and
// flags.
func TestManPagesAreThoseOfTheCommands(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "") // it changes a default on the pages
	w := newWorld(t)
	if *update {
		w.must(os.RemoveAll("man"))
		w.must(os.Mkdir("man", 0o755))
		makeManPages(t, "man")
		t.Log("written; the program has them from its next build on")
		return
	}
	made, written := w.path("made"), w.path("written")
	w.must(errors.Join(os.Mkdir(made, 0o755), os.Mkdir(written, 0o755)))
	makeManPages(t, made)
	if code, _, errs := w.command("man --dir " + written); code != cli.ExitOK {
		t.Fatal(errs)
	}
	want, got := readFiles(t, made), readFiles(t, written)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name] != want[name] {
			t.Errorf("%s is not what the command says of itself: go test ./cmd/sandmeter -update writes it", name)
		}
		delete(got, name)
	}
	for name := range got {
		t.Errorf("%s is of no command", name)
	}
	if _, page, _ := w.command("man"); page != want["sandmeter.1"] {
		t.Errorf("without --dir it writes\n%s\nwant\n%s", page, want["sandmeter.1"])
	}
}

// manDate replaces the current date on the pages.
var manDate = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)

// synopsis corrects the command lines that cobra writes: it does not support flags before the name of
// a command, and does not know that the program needs a command.
var synopsis = strings.NewReplacer("sandmeter metric-server [flags]", "sandmeter [runsc flags] metric-server [flags]",
	`\fBsandmeter [flags]\fP`, `\fBsandmeter COMMAND [flags]\fP`)

// makeManPages generates the pages with cobra, except for the date.
func makeManPages(t *testing.T, dir string) {
	t.Helper()
	root := newRootCommand(new(config.Config), cli.Stdio{})
	root.DisableAutoGenTag = true // the tag has a date
	addManSections(root)
	header := &doc.GenManHeader{Section: "1", Source: "Sandmeter", Manual: "Sandmeter", Date: &manDate}
	if err := doc.GenManTree(root, header, dir); err != nil {
		t.Fatal(err)
	}
	for name, page := range readFiles(t, dir) {
		page = sortManSections(synopsis.Replace(page))
		if err := os.WriteFile(filepath.Join(dir, name), []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// readFiles reads all files of a directory.
func readFiles(t *testing.T, dir string) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	files := make(map[string]string)
	for _, e := range entries {
		data, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		files[e.Name()] = string(data)
	}
	return files
}
